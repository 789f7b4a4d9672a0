//! Guides whose programs need the layers.
//!
//! Every step of a guide is compiled and run by the tests of this crate, and so is the program at the
//! end. There is nothing to call in these modules. The guides that need only the core are in
//! [`reagent::guide`].

#[doc = include_str!("protocol.md")]
pub mod protocol {}
