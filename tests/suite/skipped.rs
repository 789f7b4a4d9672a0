//! What a test says that cannot run here. The suites share this file as a module.

use std::{env, fmt::Display, fs::OpenOptions, io::Write, net::TcpListener, thread};

/// Reports that the test of this thread is skipped, and why. `.ci/run` sets `REAGENT_SKIPPED` to a
/// file that collects these lines, and prints the file at its end.
pub fn skipped(why: impl Display) {
    let test = thread::current();
    let why = why.to_string().replace('\n', " ");
    let line = format!("{}: {why}\n", test.name().unwrap_or("a test"));
    eprint!("skipped: {line}");
    if let Some(file) = env::var_os("REAGENT_SKIPPED") {
        // One write to the end, so that lines of other tests are not mixed with it.
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Returns whether this machine has no IPv6. If so, reports that the test is skipped.
pub fn lacks_ipv6() -> bool {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => false,
        Err(error) => {
            skipped(format_args!("no IPv6: {error}"));
            true
        }
    }
}
