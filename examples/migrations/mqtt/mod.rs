//! An MQTT broker over TLS.

pub mod after;
pub mod before;
mod broker;
mod packet;
