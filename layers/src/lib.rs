//! Layers for [`reagent`], the acceptor pool: each stands in a module of its own behind a feature
//! of the same name, and `full` turns all of them on.
//!
//! This release has none yet. What a layer is made of, [`Upgrade`](reagent::Upgrade),
//! [`Observer`](reagent::Observer) and [`ConnectionService`](reagent::ConnectionService), stands in
//! the core, and `examples/custom_layer.rs` shows two complete ones.
// What libraries leave to programs.
#![warn(clippy::print_stdout, clippy::print_stderr)]
