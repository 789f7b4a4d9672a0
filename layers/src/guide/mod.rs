//! Guides to tasks that need the layers, each with programs that you can run.
//!
//! These modules contain documentation only. The tests of this crate compile and run every program in
//! it. The guides that need only the core are in [`reagent::guide`].

#[doc = include_str!("protocol.md")]
pub mod protocol {}
