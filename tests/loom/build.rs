//! Compiles the sources with `cfg(loom)` here, and nowhere else: in `RUSTFLAGS` it would take `net` from
//! Tokio.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=loom");
}
