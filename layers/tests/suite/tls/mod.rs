//! `TlsLayer`: successful and failed handshakes, how they are reported, and replacing certificates
//! under load.

mod bad_clients;
mod clients;
mod close_notify;
mod der;
mod failures;
mod handshake;
#[cfg(feature = "http")]
mod http;
mod identity;
mod limits;
mod load;
mod names;
#[cfg(all(feature = "metrics", feature = "trace"))]
mod observed;
mod ocsp;
mod openssl;
mod pem;
pub mod pki;
mod reload;
mod revocation;
pub mod running;
mod starttls;
mod testssl;
mod ticket_files;
mod tickets;
mod truncation;
