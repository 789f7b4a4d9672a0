//! Counts what a server does, by running it under a tool that counts.

use crate::load;
use reagent::BoxError;
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// The argument of the program that is the server.
pub const CHILD: &str = "--serve";

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

/// What one connection costs, in all and by the system call.
pub struct Count {
    pub total: f64,
    pub parts: BTreeMap<String, f64>,
}

/// Returns what a connection of this server costs; `None`, with a message, where the tool is missing.
pub fn each(tool: Tool, server: &str) -> Result<Option<Count>, BoxError> {
    let dir = env::temp_dir().join(format!("reagent-yardstick-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let both =
        run(tool, server, FEW, &dir).and_then(|few| Ok((few, run(tool, server, MANY, &dir)?)));
    fs::remove_dir_all(&dir)?;
    let (Some(few), Some(many)) = both? else {
        return Ok(None);
    };
    let each =
        |call: &String, count: &f64| (count - few.get(call).unwrap_or(&0.0)) / (MANY - FEW) as f64;
    let parts: BTreeMap<_, _> = many
        .iter()
        .map(|(call, count)| (call.clone(), each(call, count)))
        .collect();
    Ok(Some(Count {
        total: parts.values().sum(),
        parts,
    }))
}

fn run(
    tool: Tool,
    server: &str,
    connections: usize,
    dir: &Path,
) -> Result<Option<BTreeMap<String, f64>>, BoxError> {
    let out = dir.join("out");
    let mut command = match tool {
        Tool::Strace => {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-c", "-o"]).arg(&out);
            strace
        }
        Tool::Callgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["-q", "--tool=callgrind"]);
            valgrind.arg(format!("--callgrind-out-file={}", out.display()));
            valgrind
        }
    };
    if server.ends_with("layers") {
        command.env("LAYERS", "4");
    }
    command.arg(env::current_exe()?).args([CHILD, server]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("{:?} is not installed", command.get_program());
            return Ok(None);
        }
        child => child?,
    };
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let addr = line.trim().parse()?;
    let loaded = load::run(addr, connections);
    // The server ends with its input.
    drop(child.stdin.take());
    let status = child.wait()?;
    loaded?;
    if !status.success() {
        return Err(format!("{:?} failed: {status}", command.get_program()).into());
    }
    let text = fs::read_to_string(out)?;
    Ok(Some(match tool {
        Tool::Strace => text.lines().filter_map(calls).collect(),
        Tool::Callgrind => {
            let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let total: f64 = total.ok_or("no total")?.trim().parse()?;
            BTreeMap::from([("instructions".to_owned(), total)])
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
