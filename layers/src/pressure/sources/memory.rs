//! The memory of the process.

use super::{
    super::source::{Moment, Source},
    field, part,
};
use std::{fs, path::PathBuf};

/// The resident memory of the process (`VmRSS`), against a limit.
///
/// Allocators return memory to the system late or never, so closed connections may not show in it.
#[derive(Clone, Debug)]
pub struct ResidentMemory {
    max: u64,
    status: PathBuf,
}

impl ResidentMemory {
    /// Creates a source that is at 1 when `max` bytes are resident.
    pub fn new(max: u64) -> Self {
        ResidentMemory {
            max,
            status: "/proc/self/status".into(),
        }
    }

    /// Creates a source that is at 1 when the whole memory of the machine is resident. Returns
    /// `None` if the size of the memory is unknown.
    pub fn of_machine() -> Option<Self> {
        let info = fs::read_to_string("/proc/meminfo").ok()?;
        let total = field(&info, "MemTotal:")?;
        Some(Self::new(total * 1024))
    }

    /// Reads another file in the format of `/proc/PID/status`, such as that of a child.
    pub fn status_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.status = path.into();
        self
    }
}

impl Source for ResidentMemory {
    fn name(&self) -> &'static str {
        "resident memory"
    }

    fn sample(&mut self, _: &Moment<'_>) -> Option<f64> {
        let status = fs::read_to_string(&self.status).ok()?;
        part(field(&status, "VmRSS:")? * 1024, self.max)
    }
}
