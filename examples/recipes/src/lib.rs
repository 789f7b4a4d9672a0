//! Libraries of other projects on reagent, one module each: the programs of the guide `recipes`
//! (`layers/src/guide/recipes.md`), and tests that run a client of each library against them.

pub mod axum;
pub mod jsonrpsee;
pub mod mqtt;
pub mod pgwire;
pub mod poem;
pub mod russh;
pub mod tarpc;
pub mod tonic;
pub mod tungstenite;
pub mod warp;

#[cfg(test)]
mod page;
#[cfg(test)]
mod support;
