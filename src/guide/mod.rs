//! How to write what this crate does not have: a layer, and a protocol.
//!
//! | guide | read it when |
//! |---|---|
//! | [`layer`] | something is to happen to every connection: a handshake, a check, a limit, a count |
//! | [`protocol`] | you know what your server and its clients say to each other |
//!
//! Each grows a program in steps. Every step is compiled and run by the tests of this crate, and so is the
//! program at the end. There is nothing to call in these modules.

#[doc = include_str!("layer.md")]
pub mod layer {}

#[doc = include_str!("protocol.md")]
pub mod protocol {}
