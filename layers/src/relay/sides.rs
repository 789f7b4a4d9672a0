//! The two sides of a relay, and how they close.

use reagent::Connection;
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

/// The client and the upstream. Each is reset when they go, unless it was said to be left as it is: whoever reads
/// must not take what it has got for the whole.
pub(super) struct Sides<Io, U: Resettable> {
    pub(super) client: Connection<Io>,
    pub(super) upstream: U,
    resets_client: bool,
    resets_upstream: bool,
}

impl<Io, U: Resettable> Sides<Io, U> {
    pub(super) fn new(client: Connection<Io>, upstream: U) -> Self {
        Sides {
            client,
            upstream,
            resets_client: true,
            resets_upstream: true,
        }
    }

    pub(super) fn leave_client(&mut self) {
        self.resets_client = false;
    }

    pub(super) fn leave_upstream(&mut self) {
        self.resets_upstream = false;
    }
}

impl<Io, U: Resettable> Drop for Sides<Io, U> {
    fn drop(&mut self) {
        if self.resets_client {
            self.client.handle().reset_on_close();
        }
        if self.resets_upstream {
            // A Unix socket takes it and closes as ever. It fails only on a socket that is not connected.
            let _ = socket2::SockRef::from(&self.upstream).set_linger(Some(Duration::ZERO));
        }
    }
}
