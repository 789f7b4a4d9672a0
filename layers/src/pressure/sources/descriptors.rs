//! The descriptors of the process.

use super::{
    super::source::{Moment, Source},
    field, part,
};
use std::fs;

/// The open descriptors of the process, against its limit (`RLIMIT_NOFILE`).
///
/// Before Linux 6.2, the descriptors are counted one by one, which takes about 1 ms for each 10,000
/// of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptors;

impl Source for Descriptors {
    fn name(&self) -> &'static str {
        "descriptors"
    }

    fn sample(&mut self, _: &Moment<'_>) -> Option<f64> {
        let (used, max) = used_and_max()?;
        part(used, max)
    }
}

/// Returns the number of open descriptors and the limit.
pub(in crate::pressure) fn used_and_max() -> Option<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let max = field(&limits, "Max open files").unwrap_or(u64::MAX);
    // man 5 proc_pid_fd: the size is the number of descriptors since Linux 6.2, and 0 before.
    let used = match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        used => used,
    };
    Some((used, max))
}
