//! What figures depend on, printed above them: the machine, the compiler and the commit.

use std::{fs, process::Command, thread};

/// Returns what a command prints, or a dash.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    let text = text.unwrap_or_default();
    match text.trim() {
        "" => "–".to_owned(),
        text => text.to_owned(),
    }
}

/// Prints a line on the machine and one on what was built.
pub(crate) fn print() {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown CPU", |model| {
        model.trim_start_matches(['\t', ' ', ':'])
    });
    let cores = thread::available_parallelism().map_or(0, usize::from);
    println!("{model}, {cores} cores; {}", said("uname", &["-sr"]));
    let commit = said("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    println!("{}; commit {commit}\n", said("rustc", &["-V"]));
}
