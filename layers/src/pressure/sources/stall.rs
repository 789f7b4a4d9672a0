//! The kernel's own measure of pressure.

use super::super::source::{Moment, Source};
use std::{fs, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// The shortest time over which stalls are averaged. The kernel itself updates its averages every
/// 2 s.
const WINDOW: Duration = Duration::from_secs(2);

/// The time for which tasks stall because a resource is short (PSI): the part of the last 2 s.
///
/// The kernel distinguishes the time in which *some* tasks stall from that in which all tasks that
/// could run do (*full*). It needs a kernel with PSI; some distributions enable it only with
/// `psi=1` on the command line.
#[derive(Clone, Debug)]
pub struct Stall {
    path: PathBuf,
    name: &'static str,
    kind: &'static str,
    /// The part of the time at which the pressure is 1.
    most: f64,
    closing_helps: bool,
    /// The total in microseconds, and when it was read.
    last: Option<(u64, Instant)>,
    value: Option<f64>,
}

impl Stall {
    /// Creates a source for memory: at 1 when all tasks stall for half of the time. systemd-oomd
    /// kills at 60 %.
    pub fn memory() -> Self {
        Self::at("/proc/pressure/memory", "memory stall")
            .full()
            .most(0.5)
    }

    /// Creates a source for CPUs: at 1 when some task always waits for one. A busy machine easily
    /// gets to 0.8 in good health.
    pub fn cpu() -> Self {
        let mut stall = Self::at("/proc/pressure/cpu", "cpu stall");
        stall.closing_helps = false;
        stall
    }

    /// Creates a source for disks: at 1 when all tasks stall for all of the time.
    pub fn io() -> Self {
        let mut stall = Self::at("/proc/pressure/io", "io stall").full();
        stall.closing_helps = false;
        stall
    }

    /// Creates a source for a file in the format of `/proc/pressure/memory`, such as
    /// `memory.pressure` of a control group: at 1 when some task stalls for all of the time.
    pub fn at(path: impl Into<PathBuf>, name: &'static str) -> Self {
        Stall {
            path: path.into(),
            name,
            kind: "some",
            most: 1.0,
            closing_helps: true,
            last: None,
            value: None,
        }
    }

    /// Counts only the time in which all tasks stall.
    pub fn full(mut self) -> Self {
        self.kind = "full";
        self
    }

    /// Sets the part of the time at which the pressure is 1.
    pub fn most(mut self, part: f64) -> Self {
        self.most = part;
        self
    }

    /// Returns the time for which tasks have stalled so far, in microseconds.
    fn total(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.path).ok()?;
        let line = text.lines().find(|line| line.starts_with(self.kind))?;
        line.rsplit_once("total=")?.1.trim().parse().ok()
    }
}

impl Source for Stall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        let Some((last, at)) = self.last else {
            self.last = Some((self.total()?, moment.now));
            return Some(0.0);
        };
        let elapsed = moment.now.saturating_duration_since(at);
        if elapsed >= WINDOW {
            let total = self.total();
            self.value = total.map(|total| {
                let stalled = total.saturating_sub(last) as f64;
                stalled / elapsed.as_micros() as f64 / self.most
            });
            self.last = total.map(|total| (total, moment.now));
        }
        self.value.or(Some(0.0).filter(|_| self.last.is_some()))
    }

    fn closing_helps(&self) -> bool {
        self.closing_helps
    }
}
