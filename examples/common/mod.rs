//! What the examples share.

use std::{future::Future, io};
use tokio::signal::unix::{SignalKind, signal as listen};

/// Listens for Ctrl-C (SIGINT) and SIGTERM from now on, and returns a future that resolves at the first.
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
    })
}
