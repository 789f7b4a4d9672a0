//! How to write what this crate does not have: a layer.
//!
//! Every step of a guide is compiled and run by the tests of this crate, and so is the program at the
//! end. There is nothing to call in these modules. The guides that need the layers are in
//! `reagent_layers::guide`.

#[doc = include_str!("layer.md")]
pub mod layer {}
