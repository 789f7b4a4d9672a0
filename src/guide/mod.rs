//! Guides. Their programs are compiled and run by the tests of this crate.
//!
//! | guide | read it |
//! |---|---|
//! | [`start`] | first: from an empty directory to a tested server |
//! | [`accept_loop`] | if you have a hand-written accept loop |
//! | [`shutdown`] | before you deploy |
//! | [`testing`] | to test your server |
//! | [`layer`] | to write a layer |
//!
//! The guides that need the layers are in `reagent_layers::guide`: coming from `axum::serve`, TLS,
//! limits and attackers, writing a protocol, stacks to copy, and recipes for other libraries.
//!
//! These modules contain only documentation.

#[doc = include_str!("accept_loop.md")]
pub mod accept_loop {}

#[doc = include_str!("layer.md")]
pub mod layer {}

#[doc = include_str!("shutdown.md")]
pub mod shutdown {}

#[doc = include_str!("start.md")]
pub mod start {}

#[doc = include_str!("testing.md")]
pub mod testing {}
