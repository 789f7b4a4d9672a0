//! When descriptors or memory run out: said once when it begins and once when it ends, however many
//! acceptors it concerns, and no client left in the dark.

use crate::{ErrorClass, Listener, server::Shared, sync::Mutex};
use std::{
    io,
    sync::{Arc, MutexGuard},
};
use tokio::time::Instant;

/// So many clients are turned away in one go, so that a flood of them does not hold up the rest.
const TURN_AWAY_AT_MOST: u64 = 256;

#[derive(Debug)]
pub(crate) struct Exhaustion(Mutex<State>);

#[derive(Debug)]
struct State {
    /// How many acceptors are concerned.
    acceptors: usize,
    since: Instant,
    turned_away: u64,
    reserve: Option<Reserve>,
}

/// A descriptor to give up when there is no other, to accept a client with and close it: it gets an
/// answer, if not service (libev's manual, "The special problem of accept()ing when you can't").
type Reserve = std::fs::File;

/// Where there is no such file there is no reserve, and nothing is learned of descriptors either.
fn reserve() -> io::Result<Reserve> {
    std::fs::File::open("/dev/null")
}

/// Why there still is no descriptor to be had, if so. An empty queue tells nothing of that: whether
/// anybody waits is known without asking the system for one.
pub(super) fn persists() -> Option<io::Error> {
    reserve().err().filter(ErrorClass::lacks_descriptors)
}

impl Exhaustion {
    pub(crate) fn new() -> Self {
        Exhaustion(Mutex::new(State {
            acceptors: 0,
            since: Instant::now(),
            turned_away: 0,
            reserve: reserve().ok(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Closes the clients that wait at `listener`.
    pub(super) fn turn_away(&self, listener: &mut dyn Listener) -> u64 {
        let mut state = self.state();
        drop(state.reserve.take());
        let mut count = 0;
        while count < TURN_AWAY_AT_MOST && listener.try_accept().is_ok() {
            count += 1;
        }
        state.reserve = reserve().ok();
        state.turned_away += count;
        count
    }
}

/// An acceptor's part in the exhaustion; it ends when this goes.
#[derive(Debug)]
pub(super) struct Exhausted(Arc<Shared>);

impl Exhausted {
    pub(super) fn begin(shared: &Arc<Shared>, error: &io::Error) -> Self {
        let mut state = shared.exhaustion.state();
        state.acceptors += 1;
        let is_news = state.acceptors == 1;
        if is_news {
            state.since = Instant::now();
            state.turned_away = 0;
        }
        drop(state);
        if is_news {
            shared.observe(|observer| observer.exhausted(error));
        }
        Exhausted(shared.clone())
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let mut state = self.0.exhaustion.state();
        state.acceptors -= 1;
        if state.acceptors == 0 {
            // Somebody else may have got it while it was given up.
            if state.reserve.is_none() {
                state.reserve = reserve().ok();
            }
            let (lasted, turned_away) = (state.since.elapsed(), state.turned_away);
            drop(state);
            self.0
                .observe(|observer| observer.exhaustion_ended(lasted, turned_away));
        }
    }
}
