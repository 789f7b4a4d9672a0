//! Panics as values, so that one handler's panic stays its own.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) type Panic = Box<dyn Any + Send>;

/// Calls `f`. What it leaves behind in a panic must not be used again.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Polls `future`, which must not be polled again after a panic.
pub(crate) fn poll_catching<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Result<Poll<F::Output>, Panic> {
    catch(|| future.poll(cx))
}

/// Drops a value of a user's type, whose drop may panic.
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch(|| drop(value)) {
        std::mem::forget(payload);
    }
}
