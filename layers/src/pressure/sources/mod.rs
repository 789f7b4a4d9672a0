//! The sources that come with the module.

mod accept_queue;
mod cgroup;
mod descriptors;
mod lag;
mod memory;
mod overflows;
mod permit_wait;
mod stall;

pub use accept_queue::AcceptQueue;
pub use cgroup::CgroupMemory;
pub use descriptors::Descriptors;
pub(super) use descriptors::used_and_max;
pub use lag::SchedulerLag;
pub use memory::ResidentMemory;
pub use overflows::ListenOverflows;
pub use permit_wait::PermitWait;
pub use stall::Stall;

/// Returns `used` as a part of `max`.
fn part(used: u64, max: u64) -> Option<f64> {
    (max > 0).then(|| used as f64 / max as f64)
}

/// Returns the first number after `key` in a file such as `/proc/self/status`.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
