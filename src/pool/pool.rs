//! The acceptor pool of one server.

use super::{Control, Group, Request, Shutdown, Stage};
use crate::{
    addr::Addr,
    connection::{DrainReport, ListenerEntry, Registry, event},
    error::Error,
    limit::{Limit, Places, Reserve},
    listener::{Bound, SocketOptions},
    sync::Mutex,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// The state that the acceptors, the supervisor and the handles of a server share. Connections do
/// not refer to it, so no handle of a connection keeps a listening socket open.
pub(crate) struct Pool {
    /// The groups that are served.
    groups: Mutex<Vec<Arc<Group>>>,
    next_group: AtomicU32,
    pub(crate) registry: Arc<Registry>,
    /// The options of new listeners.
    pub(crate) options: Arc<SocketOptions>,
    pub(crate) control: watch::Sender<Control>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    /// The version of the control that every acceptor follows.
    pub(crate) settled: watch::Sender<u64>,
    /// The number of acceptors that have a service.
    pub(crate) acceptors: AtomicUsize,
    /// The number of clients that were closed because there were no descriptors.
    pub(crate) turned_away: AtomicU64,
}

impl Pool {
    pub(crate) fn new(
        registry: Arc<Registry>,
        options: Arc<SocketOptions>,
        acceptors: usize,
        requests: mpsc::UnboundedSender<Request>,
    ) -> Self {
        Pool {
            groups: Mutex::default(),
            next_group: AtomicU32::new(0),
            registry,
            options,
            control: watch::Sender::new(Control::new(acceptors)),
            requests,
            settled: watch::Sender::new(0),
            acceptors: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// Returns the groups that are served, in the order in which they were added.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().clone()
    }

    /// Returns the groups that are served at an address.
    pub(crate) fn groups_at(&self, addr: &Addr) -> Vec<Arc<Group>> {
        let mut groups = self.groups();
        groups.retain(|group| group.addr() == addr);
        groups
    }

    /// Makes the groups of these listeners, without adding them.
    pub(crate) fn make_groups(&self, bound: Vec<Bound>) -> Vec<Arc<Group>> {
        let mut groups = Vec::with_capacity(bound.len());
        for Bound {
            settings,
            listeners,
        } in bound
        {
            let own = Limit::new(settings.max_connections.unwrap_or(usize::MAX));
            let limit = settings.limit.as_ref().unwrap_or(&self.registry.limit);
            let reserve = (settings.reserve > 0).then(|| Reserve::new(limit, settings.reserve));
            for opened in listeners {
                let Some(listener) = opened.queues.first() else {
                    continue;
                };
                let entry = ListenerEntry::new(
                    listener.local_addr(),
                    listener.is_local_addr_fixed(),
                    settings.label.clone(),
                    settings.state.clone(),
                    Places::new(own.clone(), limit.clone(), reserve.clone()),
                );
                let id = self.next_group.fetch_add(1, Ordering::Relaxed);
                groups.push(Arc::new(Group::new(id, opened, Arc::new(entry))));
            }
        }
        groups
    }

    /// Adds a group, whose connections are listed from now on.
    pub(crate) fn add(&self, group: &Arc<Group>) {
        self.registry.add_listener(group.entry());
        self.groups.lock().push(group.clone());
    }

    /// Removes a group that is closed. Its connections stay. Returns false if the server ends, and
    /// so keeps the list of what it has listened on.
    pub(crate) fn remove(&self, group: &Group) -> bool {
        let stage = &self.control.borrow().stage;
        let goes_on = !matches!(stage, Stage::Draining(_) | Stage::Stopped(..));
        if goes_on {
            self.groups.lock().retain(|known| known.id() != group.id());
        }
        goes_on
    }

    /// Closes all sockets.
    pub(crate) fn close(&self) {
        self.groups().iter().for_each(|group| group.close());
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
        if self.groups().iter().all(|group| group.is_dead()) {
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
            .field("groups", &self.groups())
            .finish_non_exhaustive()
    }
}
