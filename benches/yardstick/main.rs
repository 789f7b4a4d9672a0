//! The cost of a connection in the pool, compared with a bare Tokio loop: system calls, instructions
//! and memory, which are reproducible whatever else the machine does.
//!
//! ```sh
//! cargo bench -p reagent-benches --bench yardstick # minutes; valgrind is slow
//! ```
//!
//! Each server is this program again, with one worker thread: under `strace`, under `valgrind`, and
//! alone. A connection is a connect, one echo of 64 bytes and a reset by the client, 16 at a time.
//! The count for 1,000 connections is subtracted from the count for 4,000, so that starting and
//! stopping do not matter. Idle connections have had a round trip of one byte.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod child;
mod count;
mod load;
#[path = "../machine.rs"]
mod machine;
mod memory;
mod servers;

use count::Tool;
use reagent::BoxError;
use std::env;

fn main() -> Result<(), BoxError> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [child::SERVE, name] => return servers::serve(name),
        // The argument passed by `cargo test --benches`.
        ["--test", ..] => return Ok(()),
        _ => {}
    }
    machine::print();
    println!("| server | system calls | instructions | bytes, idle |\n|---|---|---|---|");
    let mut all_calls = Vec::new();
    for name in servers::NAMES {
        let calls = count::each(Tool::Strace, name)?.unwrap_or_default();
        let total: f64 = calls.values().sum();
        let instructions = count::each(Tool::Callgrind, name)?.unwrap_or_default();
        let instructions: f64 = instructions.values().sum();
        let idle = memory::each(name)?;
        println!("| {name} | {total:.2} | {instructions:.0} | {idle:.0} |");
        let often = calls.iter().filter(|(_, count)| **count > 0.005);
        let calls: Vec<_> = often
            .map(|(call, count)| format!("{call} {count:.2}"))
            .collect();
        all_calls.push(format!("{name}: {}", calls.join(", ")));
    }
    println!("\n{}", all_calls.join("\n"));
    Ok(())
}
