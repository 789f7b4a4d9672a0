//! Sets `cfg(loom)` for this package only. In `RUSTFLAGS` it would also remove Tokio's `net`
//! module.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=loom");
}
