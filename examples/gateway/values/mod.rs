//! The values of options, which are read from the command line as text and from a file as TOML.

mod address;
mod count;
mod fingerprint;
pub mod list;
mod seconds;
mod secret;
mod tried;
mod weighted;

pub use address::{ListenAddr, Place, Target, same_path};
pub use count::Count;
pub use fingerprint::Fingerprint;
pub use seconds::{Seconds, TimeLimit};
pub use secret::Secret;
use std::fmt;
pub use tried::Tried;
pub use weighted::WeightedTarget;

/// Lists items after `title`, or returns an empty text if the list is empty.
pub fn join(title: &str, items: impl IntoIterator<Item: fmt::Display>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    match &*items {
        [] => String::new(),
        items => format!("{title}{}", items.join(", ")),
    }
}
