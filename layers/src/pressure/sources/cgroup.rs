//! The memory of a control group.

use super::{
    super::source::{Moment, Source},
    field, part,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where systemd and container runtimes mount the hierarchy.
const ROOT: &str = "/sys/fs/cgroup";

/// The memory of the control group (cgroup v2): `memory.current` without the inactive part of the
/// page cache, against `memory.max`.
///
/// The kernel can drop the inactive page cache at any time, so it does not count, as in the working
/// set of Kubernetes. The groups above are examined too, and the fullest counts. Changes of
/// `memory.max` take effect at once. A group without a limit has no pressure.
#[derive(Clone, Debug)]
pub struct CgroupMemory {
    root: PathBuf,
    group: PathBuf,
}

impl CgroupMemory {
    /// Creates a source for the group of this process. Returns `None` if it is in none, as on a
    /// system with cgroup v1 only.
    pub fn of_process() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        // Hierarchy 0 is that of v2 (man 7 cgroups).
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(Self::at(ROOT, path))
    }

    /// Creates a source for the group at `path` below `root`, the directory where the hierarchy is
    /// mounted.
    pub fn at(root: impl Into<PathBuf>, path: impl AsRef<Path>) -> Self {
        let root = root.into();
        CgroupMemory {
            group: root.join(path),
            root,
        }
    }
}

impl Source for CgroupMemory {
    fn name(&self) -> &'static str {
        "cgroup memory"
    }

    fn sample(&mut self, _: &Moment<'_>) -> Option<f64> {
        let groups = self.group.ancestors();
        let inside = groups.take_while(|group| group.starts_with(&self.root));
        inside.filter_map(used_part).reduce(f64::max)
    }
}

/// Returns the used part of the limit of one group, or `None` if it has no limit.
fn used_part(group: &Path) -> Option<f64> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    // `max` is no number.
    let max: u64 = read("memory.max")?.trim().parse().ok()?;
    let current: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let inactive = field(&stat, "inactive_file ").unwrap_or(0);
    part(current.saturating_sub(inactive), max)
}
