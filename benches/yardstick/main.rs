//! What a connection costs the pool beside a bare Tokio loop: system calls and instructions, which repeat
//! whatever else the machine does.
//!
//! ```sh
//! cargo bench -p reagent-benches --bench yardstick
//! ```
//!
//! Each server is this program once more, under `strace` and then under `valgrind`, with one worker thread. A
//! connection is a connect, one echo of 64 bytes and a reset by the client, 16 at a time. What is printed is
//! the count for many connections less the count for fewer, by their difference, so that starting and
//! stopping do not count.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod count;
mod load;
#[path = "../machine.rs"]
mod machine;
mod servers;

use count::{Count, Tool};
use reagent::BoxError;
use std::env;

fn main() -> Result<(), BoxError> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [_, name] = args.as_slice()
        && args[0] == count::CHILD
    {
        return servers::serve(name);
    }
    machine::print();
    println!("| server | system calls | instructions | against bare Tokio |\n|---|---|---|---|");
    let mut bare = None;
    let mut calls = Vec::new();
    for name in servers::NAMES {
        let traced = count::each(Tool::Strace, name)?;
        let counted = count::each(Tool::Callgrind, name)?.map(|count| count.total);
        let of_calls = traced
            .as_ref()
            .map_or("–".to_owned(), |count| format!("{:.2}", count.total));
        let instructions = counted.map_or("–".to_owned(), |count| format!("{count:.0}"));
        bare = bare.or(counted);
        let ratio = bare.zip(counted).map_or("–".to_owned(), |(bare, count)| {
            format!("{:.3}", count / bare)
        });
        println!("| {name} | {of_calls} | {instructions} | {ratio} |");
        calls.extend(traced.map(|count| (name, count)));
    }
    println!();
    for (name, Count { parts, .. }) in calls {
        let often = parts.iter().filter(|(_, count)| **count > 0.005);
        let parts: Vec<_> = often
            .map(|(call, count)| format!("{call} {count:.2}"))
            .collect();
        println!("{name}: {}", parts.join(", "));
    }
    Ok(())
}
