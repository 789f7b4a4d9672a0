//! Counts what a server does, by running it under a tool that counts.

use crate::{child::Child, load};
use reagent::BoxError;
use std::{collections::BTreeMap, env, fs, path::Path};

/// Numbers of connections whose counts are subtracted.
const FEW: usize = 1_000;
const MANY: usize = 4_000;

#[derive(Clone, Copy)]
pub enum Tool {
    /// Counts system calls.
    Strace,
    /// Counts instructions in user space.
    Callgrind,
}

/// Counts by what is counted, such as a system call.
pub type Counts = BTreeMap<String, f64>;

/// Returns the counts of one connection to this server; `None` where the tool is missing.
pub fn each(tool: Tool, server: &str) -> Result<Option<Counts>, BoxError> {
    let out = env::temp_dir().join(format!("reagent-yardstick-{}", std::process::id()));
    let few = run(tool, server, FEW, &out)?;
    let many = run(tool, server, MANY, &out)?;
    let (Some(few), Some(mut counts)) = (few, many) else {
        return Ok(None);
    };
    for (what, count) in &mut counts {
        *count = (*count - few.get(what).unwrap_or(&0.0)) / (MANY - FEW) as f64;
    }
    Ok(Some(counts))
}

fn run(
    tool: Tool,
    server: &str,
    connections: usize,
    out: &Path,
) -> Result<Option<Counts>, BoxError> {
    let command = match tool {
        Tool::Strace => format!("strace -f -c -o {}", out.display()),
        Tool::Callgrind => {
            let out = out.display();
            format!("valgrind -q --tool=callgrind --callgrind-out-file={out}")
        }
    };
    let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let Some(child) = Child::start(&command, server)? else {
        return Ok(None);
    };
    load::run(child.addr, connections)?;
    child.stop()?;
    let text = fs::read_to_string(out)?;
    fs::remove_file(out)?;
    Ok(Some(match tool {
        Tool::Strace => text.lines().filter_map(calls).collect(),
        Tool::Callgrind => {
            let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let total: f64 = total.ok_or("no total")?.trim().parse()?;
            Counts::from([("instructions".to_owned(), total)])
        }
    }))
}

/// Reads a line of strace's table: share, seconds, microseconds each, calls, errors if any, name.
fn calls(line: &str) -> Option<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let name = *words.last()?;
    if words.len() < 5 || name == "total" {
        return None;
    }
    Some((name.to_owned(), words[3].parse().ok()?))
}
