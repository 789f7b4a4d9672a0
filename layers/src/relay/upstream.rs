//! The other side of a relay.

use std::time::Duration;

/// A stream whose close can be made a reset: on Unix whatever has a descriptor, on Windows a socket.
///
/// An alias that every fitting type has.
#[cfg(unix)]
pub trait Resettable: std::os::fd::AsFd {}

#[cfg(unix)]
impl<T: std::os::fd::AsFd> Resettable for T {}

/// A stream whose close can be made a reset: on Unix whatever has a descriptor, on Windows a socket.
///
/// An alias that every fitting type has.
#[cfg(windows)]
pub trait Resettable: std::os::windows::io::AsSocket {}

#[cfg(windows)]
impl<T: std::os::windows::io::AsSocket> Resettable for T {}

/// Resets the stream when it goes, unless both directions have ended: whoever reads it must not take what
/// it has got for the whole.
pub(super) struct Upstream<U: Resettable> {
    io: U,
    has_ended: bool,
}

impl<U: Resettable> Upstream<U> {
    pub(super) fn new(io: U) -> Self {
        Upstream {
            io,
            has_ended: false,
        }
    }

    pub(super) fn io(&mut self) -> &mut U {
        &mut self.io
    }

    pub(super) fn has_ended(&mut self) {
        self.has_ended = true;
    }
}

impl<U: Resettable> Drop for Upstream<U> {
    fn drop(&mut self) {
        if !self.has_ended {
            // A Unix socket takes it and closes as ever. It fails only on a socket that is not connected.
            let _ = socket2::SockRef::from(&self.io).set_linger(Some(Duration::ZERO));
        }
    }
}
