//! The accept loop.

use super::{
    Backoff, Exhaustion,
    recovery::Recovery,
    service::{Serving, Supply, catching},
    state::{Event, State},
    timer::Timer,
};
use crate::{
    Accepted, Acceptor, BoxError, ConnectionService, ErrorClass, Spawn,
    connection::Registrar,
    event,
    limit::{Limit, Permit},
    listener::{Group, Sources},
    panic::discard,
    pool::{AssignmentCell, Mode, News, Pool, Reporter},
};
use std::{
    future::{Future, poll_fn},
    io, mem,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// How long making a service may take; it may connect to other services, but not hang.
const MAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks at a client before it becomes a connection.
pub(crate) type OnAccept = Arc<dyn Fn(&Accepted) -> io::Result<()> + Send + Sync>;

/// What all acceptors of a server have.
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

/// An acceptor: one task, one service made for it, and the slots that the supervisor handed to it.
pub(crate) struct AcceptLoop<S, X> {
    pub(super) setup: Setup<S, X>,
    pub(super) acceptor: Acceptor,
    /// Whose turns at shared queues it takes part in.
    pub(super) core: usize,
    registrar: Arc<Registrar>,
    /// The reference to the limit with which it takes the next permit: made once, since its count is what
    /// all acceptors share.
    limit: Option<Limit>,
    reporter: Reporter,
    cell: Arc<AssignmentCell>,
    /// Which assignment it follows; 0 is none.
    seen: u64,
    pub(super) sources: Sources,
    pub(super) state: State<S>,
    pub(super) serving: Option<Serving<S, X>>,
    /// The slot for whose client a service that cannot be cloned has reserved something.
    reserved_for: Option<usize>,
    /// Whether the service has to be replaced to give back what it reserved.
    is_stale: bool,
    /// How often in a row it got one of two things that a client takes, and gave it back for want of the
    /// other.
    pub(super) misses: u32,
    failures: Backoff,
    renewals: Backoff,
    renewed_at: Option<Instant>,
    pub(super) recovery: Recovery,
    timer: Timer,
}

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    pub(crate) fn new(
        setup: Setup<S, X>,
        reporter: Reporter,
        cell: Arc<AssignmentCell>,
        core: usize,
    ) -> Self {
        let pool = &setup.pool;
        let sources = Sources::new(cell.acceptor().clone());
        AcceptLoop {
            acceptor: Acceptor {
                index: reporter.key.index,
                local_addr: pool.groups[reporter.key.group].addr().clone(),
            },
            core,
            registrar: Registrar::new(&pool.registry),
            limit: None,
            reporter,
            cell,
            seen: 0,
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
            setup,
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.setup.pool
    }

    pub(super) fn group(&self) -> &Group {
        &self.pool().groups[self.reporter.key.group]
    }

    /// Accepts until it is told to stop.
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
                .map(|permit| Event::Permit(*slot, permit, *since)),
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
            Event::Made(Ok(service)) => self.made(service),
            Event::Made(Err(error)) | Event::Panicked(error) => self.fail(error),
            Event::Client(slot, Err(error)) => self.accept_failed(slot, &error),
            Event::Client(slot, Ok(())) => {
                if let State::Sweeping = self.state {
                    self.sweep(slot);
                } else if self.admit(slot, None) {
                    // The queue is mostly empty after one, and to see that now saves a turn of the loop.
                    self.admit(slot, None);
                }
            }
            Event::Permit(slot, permit, since) => {
                self.state = State::Waiting;
                let event = event::LimitWaited {
                    acceptor: &self.acceptor,
                    waited: since.elapsed(),
                };
                self.pool()
                    .registry
                    .observe(|observer| observer.limit_waited(&event));
                self.admit(slot, Some(permit));
            }
            Event::Stack(slot, ready) => self.stack_ready(slot, ready),
        }
    }

    /// Does what the supervisor says; breaks where that is to stop.
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

    /// A client may wait in this slot: takes it if the limit and the service allow, else waits for one of
    /// them without having anything of the other. Returns whether it was taken, and another may be.
    pub(super) fn admit(&mut self, slot: usize, permit: Option<Permit>) -> bool {
        self.state = State::Waiting;
        // What a service that was made reserves can be given back only by making another.
        if self.is_made() && !self.is_client_there(slot) {
            self.is_stale = self.reserved_for == Some(slot);
            self.nobody_there(slot);
            return false;
        }
        let Some(permit) = permit.or_else(|| self.try_permit()) else {
            match self.reserved_for {
                Some(_) => self.release(),
                None => self.wait_at_limit(slot),
            }
            return false;
        };
        let Some(serving) = &mut self.serving else {
            return false;
        };
        match serving.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => return self.accept(slot, permit),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending => {
                drop(permit);
                if self.is_client_there(slot) {
                    self.wait_at_stack(slot);
                } else {
                    self.release();
                    self.nobody_there(slot);
                }
            }
        }
        false
    }

    fn wait_at_stack(&mut self, slot: usize) {
        self.sources.pass();
        self.state = State::AtStack { slot };
        if self.misses_again() {
            self.release();
            self.step_back(slot);
        }
    }

    /// Acceptors that wait for the last permit and the last place of a stack could go on getting what the
    /// next of them needs; those that miss again and again step back for a moment, having nothing, so that
    /// one gets both.
    fn misses_again(&mut self) -> bool {
        const AT_ONCE: u32 = 4;

        self.misses += 1;
        self.misses > AT_ONCE
    }

    fn step_back(&mut self, slot: usize) {
        // Not all for the same time.
        let millis = 1 + self.acceptor.index % 16;
        self.misses = 0;
        self.state = State::Exhausted {
            slot,
            until: Instant::now() + Duration::from_millis(millis as u64),
        };
    }

    fn wait_at_limit(&mut self, slot: usize) {
        if !self.is_client_there(slot) {
            return self.nobody_there(slot);
        }
        let pool = self.pool();
        pool.registry
            .observe(|observer| observer.limit_reached(&self.acceptor));
        self.state = State::AtLimit {
            slot,
            acquire: pool.registry.limit.acquire(),
            since: Instant::now(),
        };
    }

    fn stack_ready(&mut self, slot: usize, ready: Result<(), BoxError>) {
        self.state = State::Waiting;
        match (ready, self.try_permit()) {
            (Err(error), _) => self.fail(error),
            (Ok(()), Some(permit)) => {
                self.accept(slot, permit);
            }
            (Ok(()), None) => {
                self.release();
                if self.misses_again() {
                    self.step_back(slot);
                } else if !self.is_stale {
                    self.wait_at_limit(slot);
                }
            }
        }
    }

    /// Takes the client, for which everything is there, or gives everything back if it is gone.
    fn accept(&mut self, slot: usize, permit: Permit) -> bool {
        let has_changed = self.cell.has_changed(self.seen);
        let accepted = match self.sources.get(slot) {
            // A server that was paused meanwhile takes nobody.
            Some(source) if !has_changed => source.listener.try_accept(),
            _ => {
                self.release();
                return false;
            }
        };
        match accepted {
            Ok(accepted) => {
                self.failures.reset();
                self.recovery.served(slot);
                self.serve(accepted, slot, permit);
                return matches!(self.state, State::Waiting);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.limit = permit.release();
                if self.is_made() && self.is_client_there(slot) {
                    // The kernel knows of a client of which the runtime has still to hear.
                    self.reserved_for = Some(slot);
                } else {
                    self.release();
                    // Nor is an acceptor failing whose clients others take.
                    self.failures.reset();
                    self.nobody_there(slot);
                }
            }
            Err(error) => {
                drop(permit);
                self.accept_failed(slot, &error);
                // Another service may be dear, and the next client can have what this one did not need.
                let goes_on = ErrorClass::classify(&error) == ErrorClass::Connection
                    && matches!(self.state, State::Waiting);
                if self.is_made() && goes_on && self.is_client_there(slot) {
                    self.reserved_for = Some(slot);
                } else {
                    self.release();
                }
            }
        }
        false
    }

    fn serve(&mut self, accepted: Accepted, slot: usize, permit: Permit) {
        (self.reserved_for, self.misses) = (None, 0);
        if let Some(hook) = self.setup.on_accept.clone() {
            let looked =
                catching(|| hook(&accepted)).unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = looked {
                drop(permit);
                return self.refused(accepted, slot, &error);
            }
        }
        let Accepted { transport, peer } = accepted;
        let listener = self.group().index();
        let (place, limit) = permit.into_parts();
        self.limit = limit;
        let conn = self.registrar.register(listener, transport, peer, place);
        if let Some(serving) = &mut self.serving {
            if let Err(error) = serving.call(conn) {
                // What is left of it after a panic is not to be trusted.
                discard(error);
                self.renew();
            }
        }
    }

    /// Closes a client that the hook did not like; what the service reserved is for the next.
    fn refused(&mut self, accepted: Accepted, slot: usize, error: &io::Error) {
        discard(accepted);
        self.observe_failure(error, ErrorClass::Connection);
        match self.is_made() && self.is_client_there(slot) {
            true => self.reserved_for = Some(slot),
            false => self.release(),
        }
    }

    /// Takes the clients that are in the queue already, as far as the limits allow without waiting: a
    /// server that drains serves them rather than have the kernel reset them.
    fn sweep(&mut self, slot: usize) {
        /// The most that a queue holds by default.
        const AT_MOST: usize = 4096;

        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..AT_MOST {
            if !self.is_client_there(slot) {
                break;
            }
            let permit = self.try_permit();
            let (Some(serving), Some(permit)) = (&mut self.serving, permit) else {
                break;
            };
            let Poll::Ready(Ok(())) = serving.poll_ready(&mut cx) else {
                break;
            };
            let Some(source) = self.sources.get(slot) else {
                break;
            };
            match source.listener.try_accept() {
                Ok(accepted) => self.serve(accepted, slot, permit),
                Err(error) if ErrorClass::classify(&error) == ErrorClass::Connection => {}
                // The runtime may not have heard yet of a client that the kernel knows.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && source.listener.pending() == Some(true) =>
                {
                    return;
                }
                Err(_) => break,
            }
        }
        self.sources.remove(slot);
        self.report_if_swept();
    }

    fn report_if_swept(&mut self) {
        if let (State::Sweeping, true) = (&self.state, self.sources.slots().is_empty()) {
            self.state = State::Swept;
            self.reporter.send(News::Swept);
        }
    }

    fn try_permit(&mut self) -> Option<Permit> {
        let limit = self.limit.take();
        let limit = limit.unwrap_or_else(|| self.pool().registry.limit.clone());
        match limit.try_acquire_with() {
            Ok(permit) => Some(permit),
            Err(limit) => {
                self.limit = Some(limit);
                None
            }
        }
    }

    /// Returns whether a client waits in this slot, for certain where that can be known.
    fn is_client_there(&mut self, slot: usize) -> bool {
        let source = self.sources.get(slot);
        source.is_some_and(|source| source.listener.pending().unwrap_or(true))
    }

    /// Returns whether its service was made for it, and is not a clone of others.
    fn is_made(&self) -> bool {
        matches!(self.setup.supply, Supply::Made(_))
    }

    /// Gives back what the service reserved for a client that it does not get.
    fn release(&mut self) {
        match (&self.setup.supply, &mut self.serving) {
            (Supply::Cloned { release, .. }, Some(serving)) => serving.change(*release),
            (Supply::Made(_), Some(_)) => self.is_stale = true,
            (_, None) => {}
        }
    }

    fn make(&mut self) {
        self.state = match &self.setup.supply {
            Supply::Cloned { fresh, .. } => {
                let service = fresh();
                return self.made(service);
            }
            Supply::Made(make) => {
                State::Making(make(self.acceptor.clone()), Instant::now() + MAKE_TIMEOUT)
            }
        };
    }

    fn made(&mut self, service: S) {
        let Setup { pool, spawn, .. } = &self.setup;
        let serving = Serving::new(service, spawn.clone(), &self.acceptor, pool);
        self.serving = Some(serving);
        self.state = State::Paused;
        self.seen = 0;
        self.reporter.send(News::Ready);
    }

    /// Replaces a service that panicked, or that reserved something for nobody. The first is replaced at
    /// once, so that no client waits for what another brought about; those soon after it with a back-off,
    /// since making one may be dear.
    fn renew(&mut self) {
        if let (Supply::Cloned { fresh, .. }, Some(serving)) =
            (&self.setup.supply, &mut self.serving)
        {
            return serving.replace(fresh());
        }
        let now = Instant::now();
        let is_first = self
            .renewed_at
            .replace(now)
            .is_none_or(|before| now - before > Backoff::LONGEST);
        if is_first {
            self.renewals.reset();
        }
        let delay = match is_first {
            true => Duration::ZERO,
            false => self.renewals.next_delay(),
        };
        self.give_up("the service is replaced".into(), now + delay);
    }

    /// Waits for better times with a service that failed.
    fn fail(&mut self, error: BoxError) {
        let delay = self.failures.next_delay();
        let event = event::AcceptorFailed {
            acceptor: &self.acceptor,
            error: &error,
            retry_in: delay,
        };
        self.pool()
            .registry
            .observe(|observer| observer.acceptor_failed(&event));
        self.give_up(error, Instant::now() + delay);
    }

    fn give_up(&mut self, error: BoxError, until: Instant) {
        (self.reserved_for, self.is_stale) = (None, false);
        self.let_go();
        self.state = State::BackingOff(until);
        self.recovery.forget_slots();
        self.reporter.send(News::Failed(error));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        match self.state {
            State::Making(_, until) if until <= now => {
                let message = format!("making the service took longer than {MAKE_TIMEOUT:?}");
                return self.fail(message.into());
            }
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
    /// Drops the code of users that it holds, which may panic.
    fn let_go(&mut self) {
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
