//! Panics as values, so that the panic of one handler affects nothing else.

use crate::BoxError;
use std::{
    any::Any,
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

type Payload = Box<dyn Any + Send>;

/// A caught panic. Its payload, which `panic_any` lets users choose, is dropped with it and cannot
/// cause another panic.
pub(crate) struct Panic {
    message: Arc<str>,
    payload: Option<Payload>,
}

impl Panic {
    fn new(payload: Payload) -> Self {
        let message = if let Some(message) = payload.downcast_ref::<&str>() {
            message
        } else if let Some(message) = payload.downcast_ref::<String>() {
            message
        } else {
            "a value that is not text"
        };
        Panic {
            message: message.into(),
            payload: Some(payload),
        }
    }

    /// Returns the message of the panic.
    pub(crate) fn message(&self) -> &Arc<str> {
        &self.message
    }
}

impl Drop for Panic {
    fn drop(&mut self) {
        discard(self.payload.take());
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}

impl From<Panic> for BoxError {
    fn from(panic: Panic) -> Self {
        format!("panicked: {}", panic.message).into()
    }
}

/// Calls `f` and catches a panic. State that `f` leaves behind in a panic must not be used again.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(f)).map_err(Panic::new)
}

/// Polls `future` and catches a panic. The future must not be polled again after one.
pub(crate) fn poll_catching<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Result<Poll<F::Output>, Panic> {
    catch(|| future.poll(cx))
}

/// Drops a value whose `Drop` is user code, and may panic.
pub(crate) fn discard<T>(value: T) {
    let Err(payload) = drop_catching(value) else {
        return;
    };
    // If the payload panics too, it is leaked.
    if let Err(payload) = drop_catching(payload) {
        mem::forget(payload);
    }
}

fn drop_catching<T>(value: T) -> Result<(), Payload> {
    catch_unwind(AssertUnwindSafe(|| drop(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    /// Panics when dropped, with a payload that has one life less.
    struct Bomb(usize);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if let Some(lives) = self.0.checked_sub(1) {
                resume_unwind(Box::new(Bomb(lives)));
            }
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_harms_nobody() {
        for lives in 0..5 {
            let panic = catch::<()>(|| resume_unwind(Box::new(Bomb(lives)))).unwrap_err();
            assert_eq!(&**panic.message(), "a value that is not text");
            drop(panic);
            discard(Bomb(lives));
        }
    }

    #[test]
    fn a_panic_keeps_its_message() {
        let payloads: [Payload; 2] = [Box::new("text"), Box::new(String::from("text"))];
        for payload in payloads {
            let panic = catch(|| resume_unwind(payload)).err();
            let message = panic.as_ref().map(|panic| panic.message().to_string());
            assert_eq!(message.as_deref(), Some("text"));
        }
    }
}
