//! `TlsLayer`: who gets through a handshake and with what, who does not and how that is told, and that
//! certificates can be exchanged under load.

mod clients;
mod failures;
mod handshake;
mod limits;
mod load;
mod names;
mod openssl;
pub mod pki;
mod reload;
mod running;
mod truncation;
