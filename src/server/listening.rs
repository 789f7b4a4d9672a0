//! Starting and closing listeners while the server runs.

use super::{
    supervise::{Supervisor, grow},
    worker::all_of,
};
use crate::{
    error::Error,
    panic::discard,
    pool::{Group, Request},
    service::{ConnectionService, Spawn},
};
use std::{mem, sync::Arc};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant},
};

/// How long an acceptor may take to sweep its slots before another one gets them: its thread may be
/// blocked.
pub(super) const SWEEP_PATIENCE: Duration = Duration::from_millis(50);

/// How long the whole sweep may take.
pub(super) const SWEEP_GRACE: Duration = Duration::from_secs(1);

/// A group, and the phase of its life.
pub(super) struct Listening {
    pub(super) group: Arc<Group>,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    /// Its acceptors are being made. None of them owns a slot.
    Starting,
    Open,
    /// To be closed once it is decided whether a successor takes it.
    Offered {
        done: Vec<oneshot::Sender<()>>,
    },
    /// Its acceptors go on for the clients that have begun to connect.
    Refusing {
        until: Instant,
        done: Vec<oneshot::Sender<()>>,
    },
    /// The clients in its queues are served.
    Closing {
        since: Instant,
        /// Whether slots that had not been swept were given to other acceptors.
        is_reassigned: bool,
        done: Vec<oneshot::Sender<()>>,
    },
    /// Its sockets are closed, and its acceptors end.
    Closed,
}

/// The groups of one request, which are started together.
pub(super) struct Start {
    groups: Vec<u32>,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Start {
    fn answer(self, answer: Result<(), Error>) {
        // If nobody waits any more, another request closes the groups.
        let _ = self.done.send(answer);
    }
}

impl Phase {
    pub(super) fn is_accepting(&self) -> bool {
        matches!(
            self,
            Phase::Open | Phase::Offered { .. } | Phase::Refusing { .. }
        )
    }
}

impl Listening {
    pub(super) fn open(group: Arc<Group>) -> Self {
        Listening {
            group,
            phase: Phase::Open,
        }
    }
}

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    pub(super) fn follow(&mut self, request: Request) {
        match request {
            Request::Listen { groups, done } => {
                let acceptors = self.pool().control.borrow().acceptors();
                let grown = groups.iter().try_for_each(|group| grow(group, acceptors));
                if let Err(error) = grown {
                    return drop(done.send(Err(error)));
                }
                self.starts.push(Start {
                    groups: groups.iter().map(|group| group.id()).collect(),
                    done,
                });
                for group in groups {
                    let phase = Phase::Starting;
                    self.listening
                        .insert(group.id(), Listening { group, phase });
                }
            }
            Request::Close { groups, done } => {
                let mut done = Some(done);
                for group in groups {
                    // The groups of one request have the same address, and are closed together.
                    self.close(group.id(), done.take());
                }
            }
        }
    }

    /// Opens the groups whose acceptors have all been made.
    pub(super) fn finish_starting(&mut self) {
        for start in mem::take(&mut self.starts) {
            let is_ready = start.groups.iter().all(|group| {
                let mut workers = self.workers_of(*group).peekable();
                workers.peek().is_some() && workers.all(|(_, worker)| worker.accepts)
            });
            if !is_ready {
                self.starts.push(start);
                continue;
            }
            for group in &start.groups {
                if let Some(listening) = self.listening.get_mut(group) {
                    listening.phase = Phase::Open;
                    let group = listening.group.clone();
                    self.pool().add(&group);
                    self.observe_start(&group);
                }
            }
            start.answer(Ok(()));
        }
    }

    /// Gives up this group if it is being started, and those that are started with it.
    pub(super) fn fail_starting(&mut self, group: u32, error: Error) {
        let mut starts = self.starts.iter();
        if let Some(place) = starts.position(|start| start.groups.contains(&group)) {
            let start = self.starts.swap_remove(place);
            for group in &start.groups {
                self.close_now(*group);
            }
            start.answer(Err(error));
        }
    }

    fn close(&mut self, number: u32, waiting: Option<oneshot::Sender<()>>) {
        let Some(listening) = self.listening.get_mut(&number) else {
            return;
        };
        match &mut listening.phase {
            Phase::Starting => self.fail_starting(number, Error::Stopped),
            Phase::Open if listening.group.is_offered() => {
                let done = waiting.into_iter().collect();
                listening.phase = Phase::Offered { done };
            }
            Phase::Open => {
                let until = Instant::now() + listening.group.refuse_new();
                listening.phase = Phase::Refusing {
                    until,
                    done: waiting.into_iter().collect(),
                };
            }
            Phase::Offered { done }
            | Phase::Refusing { done, .. }
            | Phase::Closing { done, .. } => {
                done.extend(waiting);
            }
            Phase::Closed => {}
        }
    }

    /// Begins to close all groups, except those that a successor has taken over, whose queues are
    /// not touched.
    pub(super) fn refuse_all(&mut self) {
        let now = Instant::now();
        for Listening { group, phase } in self.listening.values_mut() {
            let done = match phase {
                Phase::Open if !group.is_leaving() => Vec::new(),
                Phase::Offered { done } => mem::take(done),
                _ => continue,
            };
            *phase = Phase::Refusing {
                until: now + group.refuse_new(),
                done,
            };
        }
    }

    /// Closes all groups that are not closed yet.
    pub(super) fn close_all_now(&mut self) {
        let numbers: Vec<_> = self.listening.keys().copied().collect();
        numbers
            .into_iter()
            .for_each(|number| self.close_now(number));
    }

    /// Returns the time at which something is to be done about a group that is being closed.
    pub(super) fn closing_at(&self) -> Option<Instant> {
        let phases = self.listening.values().map(|listening| &listening.phase);
        let times = phases.filter_map(|phase| match phase {
            Phase::Refusing { until, .. } => Some(*until),
            Phase::Closing {
                since,
                is_reassigned,
                ..
            } => Some(match is_reassigned {
                true => *since + SWEEP_GRACE,
                false => *since + SWEEP_PATIENCE,
            }),
            _ => None,
        });
        times.min()
    }

    /// Begins to close the groups that no successor has taken.
    fn refuse_kept(&mut self, now: Instant) {
        for Listening { group, phase } in self.listening.values_mut() {
            if let (Phase::Offered { done }, false) = (&mut *phase, group.is_offered()) {
                *phase = Phase::Refusing {
                    until: now + group.refuse_new(),
                    done: mem::take(done),
                };
            }
        }
    }

    /// Begins to sweep the groups that nobody is about to join.
    fn sweep_refusing(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (number, listening) in &mut self.listening {
            if let Phase::Refusing { until, done } = &mut listening.phase {
                if *until <= now {
                    due.push(*number);
                    listening.phase = Phase::Closing {
                        since: now,
                        is_reassigned: false,
                        done: mem::take(done),
                    };
                }
            }
        }
        due.into_iter().for_each(|number| self.sweep_group(number));
    }

    /// Closes the groups whose queues have been swept.
    pub(super) fn finish_closing(&mut self) {
        let now = Instant::now();
        self.refuse_kept(now);
        self.sweep_refusing(now);
        self.reassign_orphans();
        let closing: Vec<_> = self
            .listening
            .iter()
            .filter_map(|(number, listening)| match listening.phase {
                Phase::Closing {
                    since,
                    is_reassigned,
                    ..
                } => Some((*number, now - since, is_reassigned)),
                _ => None,
            })
            .collect();
        for (number, elapsed, is_reassigned) in closing {
            if self.is_swept(number) || elapsed >= SWEEP_GRACE {
                self.close_now(number);
            } else if elapsed >= SWEEP_PATIENCE && !is_reassigned {
                if let Some(Phase::Closing { is_reassigned, .. }) = self.phase(number) {
                    *is_reassigned = true;
                }
                self.reassign_unswept(number);
            }
        }
    }

    fn phase(&mut self, number: u32) -> Option<&mut Phase> {
        let listening = self.listening.get_mut(&number);
        listening.map(|listening| &mut listening.phase)
    }

    /// Closes the sockets of a group and ends its acceptors.
    fn close_now(&mut self, number: u32) {
        let Some(listening) = self.listening.get_mut(&number) else {
            return;
        };
        let group = listening.group.clone();
        let before = mem::replace(&mut listening.phase, Phase::Closed);
        self.orphans.retain(|(group, _)| *group != number);
        for (_, worker) in self.workers_of(number) {
            worker.stop();
        }
        // A blocked acceptor closes its handle later.
        group.close();
        let was_open = !matches!(before, Phase::Starting | Phase::Closed);
        if was_open && self.pool().remove(&group) {
            self.observe_stop(&group);
        }
        self.forget_if_closed(number);
    }

    /// Forgets a closed group once the last of its acceptors has ended, after which it has no new
    /// connections.
    pub(super) fn forget_if_closed(&mut self, number: u32) {
        let Some(Listening {
            group,
            phase: Phase::Closed,
        }) = self.listening.get(&number)
        else {
            return;
        };
        if self.workers.range(all_of(number)).next().is_none() {
            self.pool().registry.close_listener(group.entry());
            self.listening.remove(&number);
        }
    }

    /// Refuses to start more groups, and gives up those that are being started.
    pub(super) fn refuse_requests(&mut self) {
        self.requests.close();
        // Those that were sent before are dropped, which answers them.
        while let Ok(request) = self.requests.try_recv() {
            discard(request);
        }
        while let Some(group) = self.starts.first().map(|start| start.groups[0]) {
            self.fail_starting(group, Error::Stopped);
        }
    }
}
