//! The accept loop.

use super::{
    Backoff, Exhaustion,
    recovery::Recovery,
    service::{Serving, Supply, catching},
    state::{Event, State},
    timer::Timer,
};
use crate::{
    connection::{Acceptor, Registrar},
    limit::Places,
    listener::{Accepted, Sources},
    panic::discard,
    pool::{AssignmentCell, Group, Mode, News, Pool, Reporter},
    service::{ConnectionService, Spawn},
};
use std::{
    future::{Future, poll_fn},
    io, mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// Examines a client before it becomes a connection.
pub(crate) type OnAccept = Arc<dyn Fn(&Accepted) -> io::Result<()> + Send + Sync>;

/// What all acceptors of a server share.
pub(crate) struct Setup<S, X> {
    pub(crate) pool: Arc<Pool>,
    pub(crate) exhaustion: Arc<Exhaustion>,
    pub(crate) supply: Supply<S>,
    pub(crate) on_accept: Option<OnAccept>,
    pub(crate) spawn: X,
}

impl<S, X: Clone> Clone for Setup<S, X> {
    fn clone(&self) -> Self {
        Setup {
            pool: self.pool.clone(),
            exhaustion: self.exhaustion.clone(),
            supply: self.supply.clone(),
            on_accept: self.on_accept.clone(),
            spawn: self.spawn.clone(),
        }
    }
}

/// An acceptor: one task, one service made for it, and the slots that the supervisor gave it.
pub(crate) struct AcceptLoop<S, X> {
    pub(super) setup: Setup<S, X>,
    pub(super) group: Arc<Group>,
    pub(super) acceptor: Acceptor,
    /// The core on which it takes turns at shared queues.
    pub(super) core: usize,
    pub(super) registrar: Arc<Registrar>,
    /// The reference to the limits with which it takes the next place. It is cloned only once,
    /// since all acceptors share the reference count.
    pub(super) places: Option<Arc<Places>>,
    pub(super) reporter: Reporter,
    pub(super) cell: Arc<AssignmentCell>,
    /// The number of the assignment that it follows; 0 means none.
    pub(super) seen: u64,
    /// The number of remakes that its service, or the one being made, is up to date with.
    pub(super) remakes: u64,
    pub(super) sources: Sources,
    pub(super) state: State<S>,
    pub(super) serving: Option<Serving<S, X>>,
    /// The slot for whose client a service that cannot be cloned has reserved something.
    pub(super) reserved_for: Option<usize>,
    /// Whether the service must be replaced to give back what it has reserved.
    pub(super) is_stale: bool,
    /// How often in a row it got one of the two things that a client needs, and gave it back
    /// because the other was missing.
    pub(super) misses: u32,
    pub(super) failures: Backoff,
    pub(super) renewals: Backoff,
    pub(super) renewed_at: Option<Instant>,
    pub(super) recovery: Recovery,
    pub(super) timer: Timer,
}

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    pub(crate) fn new(
        setup: Setup<S, X>,
        group: Arc<Group>,
        reporter: Reporter,
        cell: Arc<AssignmentCell>,
        core: usize,
    ) -> Self {
        let entry = group.entry();
        let index = reporter.key.index;
        let sources = Sources::new(cell.acceptor().clone());
        AcceptLoop {
            acceptor: Acceptor::new(index, entry),
            core,
            registrar: Registrar::new(&setup.pool.registry, entry, index),
            places: None,
            reporter,
            cell,
            seen: 0,
            remakes: 0,
            sources,
            state: State::BackingOff(Instant::now()),
            serving: None,
            reserved_for: None,
            is_stale: false,
            misses: 0,
            failures: Backoff::default(),
            renewals: Backoff::default(),
            renewed_at: None,
            recovery: Recovery::default(),
            timer: Timer::default(),
            group,
            setup,
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.setup.pool
    }

    /// Accepts clients until the supervisor stops it.
    pub(crate) async fn run(mut self) {
        loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            match catching(|| self.handle(event)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(error) => self.fail(error),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event<S>> {
        if self.cell.poll_changed(self.seen, cx).is_ready() {
            return Poll::Ready(Event::Assigned);
        }
        if self.timer.poll(self.deadline(), cx).is_ready() {
            return Poll::Ready(Event::Time);
        }
        catching(|| self.poll_state(cx)).unwrap_or_else(|error| Poll::Ready(Event::Panicked(error)))
    }

    fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Making(_, until) | State::BackingOff(until) | State::Exhausted { until, .. } => {
                Some(*until)
            }
            _ => None,
        };
        state.into_iter().chain(self.recovery.next()).min()
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Event<S>> {
        match (&mut self.state, &mut self.serving) {
            (State::Making(making, _), _) => making.as_mut().poll(cx).map(Event::Made),
            (State::Waiting | State::Sweeping, _) => self
                .sources
                .poll_ready(cx)
                .map(|(slot, ready)| Event::Client(slot, ready)),
            (
                State::AtLimit {
                    slot,
                    acquire,
                    since,
                },
                _,
            ) => Pin::new(acquire)
                .poll(cx)
                .map(|admission| Event::Admission(*slot, admission, *since)),
            (State::AtStack { slot }, Some(serving)) => serving
                .poll_ready(cx)
                .map(|ready| Event::Stack(*slot, ready)),
            _ => Poll::Pending,
        }
    }

    fn handle(&mut self, event: Event<S>) -> ControlFlow<()> {
        let flow = match event {
            Event::Assigned => self.follow(),
            event => {
                self.act(event);
                ControlFlow::Continue(())
            }
        };
        if mem::take(&mut self.is_stale) {
            self.renew();
        }
        flow
    }

    fn act(&mut self, event: Event<S>) {
        match event {
            Event::Assigned => {}
            Event::Time => self.on_time(),
            Event::Made(made) => self.made(made),
            Event::Panicked(error) => match self.state {
                State::Making(..) => self.made(Err(error)),
                _ => self.fail(error),
            },
            Event::Client(slot, Err(error)) => self.accept_failed(slot, &error),
            Event::Client(slot, Ok(())) => {
                if let State::Sweeping = self.state {
                    self.sweep(slot);
                } else if self.admit(slot, None) {
                    // The queue is mostly empty after one client, and finding out now saves a turn
                    // of the loop.
                    self.admit(slot, None);
                }
            }
            Event::Admission(slot, admission, since) => self.granted(slot, admission, since),
            Event::Stack(slot, ready) => self.stack_ready(slot, ready),
        }
    }

    /// Follows the assignment of the supervisor. Breaks if the acceptor is to stop.
    fn follow(&mut self) -> ControlFlow<()> {
        let (assignment, seen) = self.cell.get();
        self.seen = seen;
        if assignment.mode == Mode::Stop {
            return ControlFlow::Break(());
        }
        if self.serving.is_none() {
            return ControlFlow::Continue(());
        }
        self.take(&assignment.slots);
        let is_live = matches!(assignment.mode, Mode::Accept | Mode::Pause);
        if is_live && self.remakes != assignment.remakes {
            self.make();
        }
        if is_live && matches!(self.state, State::Making(..)) {
            // It follows once it has the service.
            return ControlFlow::Continue(());
        }
        let goes_on = match &self.state {
            State::AtLimit { slot, .. }
            | State::AtStack { slot }
            | State::Exhausted { slot, .. } => assignment.slots.contains(slot),
            _ => false,
        };
        if assignment.mode != Mode::Accept || !goes_on {
            if self.reserved_for.is_some() || matches!(self.state, State::AtStack { .. }) {
                self.release();
            }
            self.state = match assignment.mode {
                Mode::Accept => State::Waiting,
                Mode::Sweep => State::Sweeping,
                Mode::Pause | Mode::Stop => State::Paused,
            };
        }
        if let State::Sweeping = self.state {
            self.sources
                .slots()
                .into_iter()
                .for_each(|slot| self.sweep(slot));
            self.report_if_swept();
        }
        self.reporter.send(News::Applied(assignment.version));
        ControlFlow::Continue(())
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        match self.state {
            State::Making(_, until) if until <= now => return self.too_long_to_make(),
            State::BackingOff(until) if until <= now => return self.make(),
            State::Exhausted { slot, until } if until <= now => {
                self.admit(slot, None);
            }
            _ => {}
        }
        for slot in self.recovery.due(now) {
            self.open(slot);
        }
    }
}

impl<S, X> AcceptLoop<S, X> {
    /// Drops the user code that it holds, which may panic.
    pub(super) fn let_go(&mut self) {
        let none = Sources::new(self.cell.acceptor().clone());
        discard(mem::replace(&mut self.sources, none));
        discard(mem::replace(&mut self.state, State::Paused));
        drop(self.serving.take());
    }
}

impl<S, X> Drop for AcceptLoop<S, X> {
    fn drop(&mut self) {
        self.let_go();
    }
}
