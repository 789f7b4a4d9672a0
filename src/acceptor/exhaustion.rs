//! When descriptors or memory run out: reported once when it begins and once when it ends, however many
//! acceptors it concerns, and no client left in the dark.

use crate::{
    connection::{Acceptor, Registry, event},
    listener::{ErrorClass, Listener},
    sync::Mutex,
};
use std::{fs::File, io, sync::Arc};
use tokio::time::Instant;

/// The most clients turned away in one go, so that a flood of them does not hold up the rest.
const TURN_AWAY_AT_MOST: u64 = 256;

/// What the acceptors of a server know of an exhaustion.
#[derive(Debug)]
pub(crate) struct Exhaustion {
    registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of acceptors concerned.
    acceptors: usize,
    since: Instant,
    /// The number of clients turned away since then.
    turned_away: u64,
    reserve: Option<File>,
}

/// A descriptor to give up when there is no other, to accept a client with and close it: it gets an
/// answer, if not service (libev's manual, "The special problem of accept()ing when you can't"). Where there
/// is no such file there is no reserve, and nothing is learned of descriptors either.
fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

/// Returns why there still is no descriptor to be had, if there is none.
pub(super) fn persists() -> Option<io::Error> {
    reserve().err().filter(ErrorClass::lacks_descriptors)
}

impl Exhaustion {
    pub(crate) fn new(registry: &Arc<Registry>) -> Self {
        Exhaustion {
            registry: registry.clone(),
            state: Mutex::new(State {
                acceptors: 0,
                since: Instant::now(),
                turned_away: 0,
                reserve: reserve().ok(),
            }),
        }
    }

    /// Closes the clients that wait at `listener`, unless another acceptor has the reserve, and returns
    /// their number.
    pub(super) fn turn_away(&self, listener: &mut dyn Listener) -> u64 {
        let Some(file) = self.state.lock().reserve.take() else {
            return 0;
        };
        drop(file);
        let mut count = 0;
        while count < TURN_AWAY_AT_MOST && listener.try_accept().is_ok() {
            count += 1;
        }
        let file = reserve().ok();
        let mut state = self.state.lock();
        state.reserve = file;
        state.turned_away += count;
        count
    }
}

/// An acceptor's part in the exhaustion; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Exhausted(Arc<Exhaustion>);

impl Exhausted {
    pub(super) fn begin(
        exhaustion: &Arc<Exhaustion>,
        acceptor: &Acceptor,
        error: &io::Error,
    ) -> Self {
        let is_news = {
            let mut state = exhaustion.state.lock();
            state.acceptors += 1;
            if state.acceptors == 1 {
                state.since = Instant::now();
                state.turned_away = 0;
            }
            state.acceptors == 1
        };
        if is_news {
            let event = event::Exhausted { acceptor, error };
            exhaustion
                .registry
                .observe(|observer| observer.exhausted(&event));
        }
        Exhausted(exhaustion.clone())
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let event = {
            let mut state = self.0.state.lock();
            state.acceptors -= 1;
            if state.acceptors > 0 {
                return;
            }
            // Something else may have taken the descriptor while it was given up.
            if state.reserve.is_none() {
                state.reserve = reserve().ok();
            }
            event::ExhaustionEnded {
                lasted: state.since.elapsed(),
                turned_away: state.turned_away,
            }
        };
        self.0
            .registry
            .observe(|observer| observer.exhaustion_ended(&event));
    }
}
