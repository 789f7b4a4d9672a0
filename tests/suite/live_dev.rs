mod load;
mod skipped;
mod support;
mod live_listeners;
mod limits;
