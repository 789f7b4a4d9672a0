//! `Score`: what counts as an offence, when it leads to a ban, and what it costs.

mod bans;
mod offences;
mod peers;
