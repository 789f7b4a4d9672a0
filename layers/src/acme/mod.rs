//! Obtains and renews certificates by ACME (RFC 8555), from Let's Encrypt and others.

mod builder;
mod certificate;
mod client;
mod driver;
mod error;
mod files;
mod handle;
mod order;
mod schedule;
mod shared;
mod state;

pub use builder::AcmeBuilder;
pub use driver::Driver;
pub use error::AcmeError;
pub use handle::Acme;
pub use shared::DomainStatus;
