//! Guides to common tasks, each with programs that you can run.
//!
//! These modules contain documentation only. The tests of this crate compile and run every program in
//! it. The guides that need the layers are in `reagent_layers::guide`.

#[doc = include_str!("layer.md")]
pub mod layer {}

#[doc = include_str!("testing.md")]
pub mod testing {}
