//! The acceptor pool of one server.

use super::{Control, Shutdown, Stage};
use crate::{
    connection::{DrainReport, Registry, event},
    error::Error,
    listener::Group,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
};
use tokio::{sync::watch, time::Instant};

/// The state that the acceptors, the supervisor and the handles of a server share. Connections do
/// not refer to it, so no handle of a connection keeps a listening socket open.
pub(crate) struct Pool {
    pub(crate) groups: Vec<Group>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) control: watch::Sender<Control>,
    /// The version of the control that every acceptor follows.
    pub(crate) settled: watch::Sender<u64>,
    /// The number of acceptors that have a service.
    pub(crate) acceptors: AtomicUsize,
    /// The number of clients that were closed because there were no descriptors.
    pub(crate) turned_away: AtomicU64,
}

impl Pool {
    pub(crate) fn new(groups: Vec<Group>, registry: Arc<Registry>, acceptors: usize) -> Self {
        Pool {
            groups,
            registry,
            control: watch::Sender::new(Control::new(acceptors)),
            settled: watch::Sender::new(0),
            acceptors: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Changes what the server is to do.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Control)) {
        self.control.send_modify(|control| {
            change(control);
            control.version += 1;
        });
    }

    /// Resolves once every acceptor follows the changes made so far.
    pub(crate) async fn settled(&self) {
        let version = self.control.borrow().version;
        let mut settled = self.settled.subscribe();
        let follows = settled.wait_for(|settled| *settled >= version);
        tokio::select! {
            _ = follows => {}
            _ = self.stopped() => {}
        }
    }

    /// Starts a shutdown, or brings the ends of its stages forward.
    pub(crate) fn shut_down(&self, shutdown: Shutdown) {
        let mut is_new = false;
        self.change_stage(|stage, now, over| {
            is_new = matches!(stage, Stage::Running);
            let changed = stage.shut_down(shutdown, now, over);
            is_new &= matches!(stage, Stage::LameDuck(_));
            changed
        });
        if is_new {
            let event = event::LameDuckStarted {
                lasts: shutdown.lame_duck,
            };
            self.registry
                .observe(|observer| observer.lame_duck_started(&event));
        }
    }

    /// Starts the drain that follows the lame duck stage.
    pub(crate) fn end_lame_duck(&self) {
        self.change_stage(Stage::end_lame_duck);
    }

    /// Stops the server at once.
    pub(crate) fn abort(&self) {
        self.change_stage(Stage::abort);
    }

    /// Stops a server that has nothing left to listen on, and must not look as if it served.
    pub(crate) fn stop_if_no_listeners(&self) {
        if self.groups.iter().all(Group::is_dead) {
            self.change_stage(Stage::lose_listeners);
        }
    }

    /// Calls `change` with the stage, the time, and the number of connections that have ended.
    fn change_stage(&self, change: impl FnOnce(&mut Stage, Instant, u64) -> bool) {
        let over = self.registry.totals().over();
        self.control.send_if_modified(|control| {
            let changed = change(&mut control.stage, Instant::now(), over);
            control.version += u64::from(changed);
            changed
        });
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(&self) -> (DrainReport, Option<Arc<Error>>) {
        let mut control = self.control.subscribe();
        loop {
            if let Stage::Stopped(report, error) = &control.borrow_and_update().stage {
                return (report.clone(), error.clone());
            }
            // The sender is in `self`, so it still exists.
            let _ = control.changed().await;
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
