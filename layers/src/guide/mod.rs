//! Guides whose programs need the layers. The programs are compiled and run by the tests of this
//! crate.
//!
//! | guide | read it |
//! |---|---|
//! | [`axum`] | if you use `axum::serve` |
//! | [`stacks`] | to copy a stack: a public HTTPS API, a private TCP protocol, a gateway |
//! | [`tls`] | before you configure certificates, or need STARTTLS |
//! | [`limits`] | before you expose a server to the internet |
//! | [`protocol`] | to write a protocol |
//! | [`recipes`] | to combine reagent with tungstenite, russh, pgwire, tonic, warp, poem, jsonrpsee, tarpc or MQTT |
//!
//! The guides that need only the core are in [`reagent::guide`]: getting started, coming from an
//! accept loop, shutdown, testing, and writing a layer.
//!
//! These modules contain only documentation.

#[doc = include_str!("axum.md")]
pub mod axum {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}

#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[doc = include_str!("stacks.md")]
pub mod stacks {}

#[doc = include_str!("tls.md")]
pub mod tls {}
