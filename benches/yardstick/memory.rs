//! The memory of a connection that is idle.

use crate::{child::Child, load};
use reagent::BoxError;
use std::fs;

/// As many as can be open at once, at most.
const MOST: usize = 8_000;

/// Reads the number behind a name in a file of `/proc`.
fn number(file: &str, name: &str) -> Result<usize, BoxError> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no such line")?.parse()?)
}

/// Returns the resident bytes that a server needs for each connection that has had one round trip.
pub fn each(server: &str) -> Result<f64, BoxError> {
    let open = number("/proc/self/limits", "Max open files")?;
    let count = MOST.min(open.saturating_sub(100));
    let child = Child::start(&[], server)?.ok_or("no server")?;
    let status = format!("/proc/{}/status", child.id());
    // The first ones also pay for what the server allocates once.
    load::run(child.addr, 100)?;
    let before = number(&status, "VmRSS:")?;
    let clients = load::hold(child.addr, count)?;
    let after = number(&status, "VmRSS:")?;
    drop(clients);
    child.stop()?;
    Ok((after - before) as f64 * 1024.0 / count as f64)
}
