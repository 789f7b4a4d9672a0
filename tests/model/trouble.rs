//! What user code does wrong, when it is told to.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// A place of user code where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    CallPanics,
    FutureDropPanics,
    ServiceDropPanics,
    ReadyPanics,
    ReadyFails,
    ReadyPends,
    MakePanics,
    MakeFails,
    MakePends,
    ObserverPanics,
}

impl Spot {
    pub const ALL: [Spot; 10] = [
        Spot::CallPanics,
        Spot::FutureDropPanics,
        Spot::ServiceDropPanics,
        Spot::ReadyPanics,
        Spot::ReadyFails,
        Spot::ReadyPends,
        Spot::MakePanics,
        Spot::MakeFails,
        Spot::MakePends,
        Spot::ObserverPanics,
    ];
}

/// The troubles to come; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<State>);

#[derive(Debug, Default)]
struct State {
    armed: [AtomicUsize; Spot::ALL.len()],
    with_bomb: AtomicBool,
}

impl Trouble {
    /// The next `times` at this spot go wrong; a panic has a payload that panics when it is dropped
    /// if `with_bomb`.
    pub fn arm(&self, spot: Spot, times: usize, with_bomb: bool) {
        self.0.armed[spot as usize].fetch_add(times, SeqCst);
        self.0.with_bomb.store(with_bomb, SeqCst);
    }

    pub fn disarm(&self) {
        for armed in &self.0.armed {
            armed.store(0, SeqCst);
        }
    }

    /// Whether this one goes wrong.
    pub fn strikes(&self, spot: Spot) -> bool {
        let armed = &self.0.armed[spot as usize];
        armed
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
    }

    /// Panics if this one goes wrong; not while a panic unwinds, where a second one would end the process.
    pub fn maybe_panic(&self, spot: Spot) {
        if !thread::panicking() && self.strikes(spot) {
            match self.0.with_bomb.load(SeqCst) {
                true => panic_with_bomb(),
                false => panic_quietly(),
            }
        }
    }
}

/// Panics without a message on standard error.
pub fn panic_quietly() -> ! {
    resume_unwind(Box::new("as it was told to"))
}

/// Panics with a payload that panics when it is dropped.
pub fn panic_with_bomb() -> ! {
    resume_unwind(Box::new(Bomb))
}

/// Panics when it is dropped.
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic_quietly();
        }
    }
}
