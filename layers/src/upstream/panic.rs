//! Panics in the code of the program that a driver runs.

use futures_util::FutureExt;
use std::{any::Any, future::Future, panic::AssertUnwindSafe};

/// Runs a future of the program. Returns the message of its panic, if it panics.
pub(super) async fn catch<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.map_err(|payload| format!("panicked: {}", message(&*payload)))
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let string = || payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(string).unwrap_or("no message")
}
