//! Clients that the kernel has dropped.

use super::super::source::{Moment, Source};
use std::{fs, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// The time for which an overflow counts.
const LASTS: Duration = Duration::from_secs(2);

/// Clients that the kernel has dropped because an accept queue was full: at 1 for 2 s after each
/// (`ListenOverflows` in `/proc/net/netstat`).
///
/// The kernel counts them for all sockets of the network namespace together, so this belongs where
/// the server has a namespace to itself, as in a container. Neither closing connections nor a
/// pause relieves it.
#[derive(Clone, Debug)]
pub struct ListenOverflows {
    path: PathBuf,
    last: Option<u64>,
    until: Option<Instant>,
}

impl ListenOverflows {
    /// Creates a source for the network namespace of this process.
    pub fn new() -> Self {
        Self::at("/proc/self/net/netstat")
    }

    /// Creates a source for another file in the format of `/proc/net/netstat`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        ListenOverflows {
            path: path.into(),
            last: None,
            until: None,
        }
    }
}

impl Default for ListenOverflows {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for ListenOverflows {
    fn name(&self) -> &'static str {
        "listen overflows"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        let count = overflows(&fs::read_to_string(&self.path).ok()?)?;
        if self.last.is_some_and(|last| last < count) {
            self.until = moment.now.checked_add(LASTS);
        }
        self.last = Some(count);
        let is_recent = self.until.is_some_and(|until| moment.now < until);
        Some(if is_recent { 1.0 } else { 0.0 })
    }

    fn closing_helps(&self) -> bool {
        false
    }

    fn pausing_helps(&self) -> bool {
        false
    }
}

/// Each line of names is followed by one of numbers.
fn overflows(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut columns = names.split(' ').zip(numbers.split(' '));
    let (_, number) = columns.find(|(name, _)| *name == "ListenOverflows")?;
    number.parse().ok()
}
