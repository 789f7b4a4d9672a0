//! A Minecraft server behind a proxy that sends PROXY headers.

pub mod after;
pub mod before;
mod player;
