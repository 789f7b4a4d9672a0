//! Failures of user code, triggered by the test.

use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// A place in user code that can fail.
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

/// The armed failures. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<State>);

#[derive(Debug, Default)]
struct State {
    armed: [AtomicUsize; Spot::ALL.len()],
    with_bomb: AtomicBool,
    pends: AtomicBool,
}

impl Trouble {
    /// Makes the next `times` calls at this spot fail. With `with_bomb`, the payload of a panic
    /// panics when it is dropped.
    pub fn arm(&self, spot: Spot, times: usize, with_bomb: bool) {
        self.0.armed[spot as usize].fetch_add(times, SeqCst);
        self.0.with_bomb.store(with_bomb, SeqCst);
        self.0.pends.fetch_or(spot == Spot::ReadyPends, SeqCst);
    }

    pub fn disarm(&self) {
        for armed in &self.0.armed {
            armed.store(0, SeqCst);
        }
    }

    /// Returns whether anything is going to fail.
    pub fn is_armed(&self) -> bool {
        self.0.armed.iter().any(|armed| armed.load(SeqCst) > 0)
    }

    /// Returns whether a service may still be pending although nothing is armed.
    pub fn was_armed_to_pend(&self) -> bool {
        self.0.pends.load(SeqCst)
    }

    /// Returns whether this call fails.
    pub fn strikes(&self, spot: Spot) -> bool {
        let armed = &self.0.armed[spot as usize];
        armed
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
    }

    /// Panics if this call fails, except while unwinding, where a second panic would abort the
    /// process.
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
    resume_unwind(Box::new("requested panic"))
}

/// Panics with a payload that panics on drop.
pub fn panic_with_bomb() -> ! {
    resume_unwind(Box::new(Bomb))
}

/// Panics on drop.
#[derive(Debug)]
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic_quietly();
        }
    }
}
