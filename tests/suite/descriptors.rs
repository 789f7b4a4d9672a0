//! Processes with few descriptors. The suites share this file as a module.

use std::ffi::OsStr;
use tokio::process::Command;

/// Returns a command that runs the program with at most `limit` descriptors. It inherits only the
/// standard ones, whatever the process of the tests has inherited.
pub fn limited(limit: usize, program: impl AsRef<OsStr>) -> Command {
    // Other shells take only one digit for a descriptor.
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd < 3)) || eval \"exec $fd>&-\"; done\n\
         ulimit -n \"$0\" && exec \"$@\"",
        &limit.to_string(),
    ]);
    command.arg(program);
    command
}
