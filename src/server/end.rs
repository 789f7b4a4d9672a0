//! The end of a server, including the case that its runtime is shut down first.

use crate::{
    connection::DrainReport,
    pool::{Pool, Stage},
};
use std::sync::Arc;

/// Announces that the server has stopped. Dropping it without [`stop`](End::stop) means that the
/// runtime was shut down.
pub(super) struct End(Arc<Pool>);

impl End {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        End(pool.clone())
    }

    pub(super) fn stop(&self, report: DrainReport) {
        self.0.close();
        // The limit may be shared with servers that go on.
        for group in self.0.groups() {
            group.entry().end_reserve_if_idle();
        }
        self.0.control.send_if_modified(|control| {
            let error = match &mut control.stage {
                Stage::Running | Stage::LameDuck(_) => None,
                Stage::Draining(drain) => drain.error.take(),
                Stage::Stopped(..) => return false,
            };
            control.stage = Stage::Stopped(report, error);
            true
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.stop(DrainReport {
            remaining: self.0.registry.open(),
            ..DrainReport::default()
        });
    }
}
