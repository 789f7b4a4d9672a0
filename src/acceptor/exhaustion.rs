//! Running out of descriptors or memory: reported once when it begins and once when it ends,
//! however many acceptors are affected, and with an answer for waiting clients.

use crate::{
    connection::{Acceptor, Registry, event},
    listener::{ErrorClass, Listener},
    sync::Mutex,
};
use std::{fs::File, io, sync::Arc};
use tokio::time::Instant;

/// The maximum number of clients turned away at once, so that a flood of them does not delay
/// everything else.
const TURN_AWAY_AT_MOST: u64 = 256;

/// The state of an exhaustion, which the acceptors of a server share.
#[derive(Debug)]
pub(crate) struct Exhaustion {
    registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of acceptors that are affected.
    acceptors: usize,
    since: Instant,
    /// The number of clients turned away since it began.
    turned_away: u64,
    reserve: Option<File>,
}

/// Opens a spare descriptor. When there is no other, it is closed to accept a client and close it:
/// the client gets an answer, if not service (libev's manual, "The special problem of accept()ing
/// when you can't"). On a system without this file there is no spare, and a lack of descriptors
/// cannot be detected.
fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

/// Returns the error if there still is no descriptor.
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

    /// Closes the clients that wait at `listener`, unless another acceptor uses the spare
    /// descriptor, and returns their number.
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

/// An acceptor's part in the exhaustion. It ends when this is dropped.
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
            // Something else may have taken the descriptor while it was closed.
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
