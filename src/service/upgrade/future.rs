//! The future of an upgrade: the upgrade, then the handler.

use crate::{
    BoxError,
    connection::{Connection, Phase},
};
use std::{
    cell::Cell,
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    ptr,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pub(super) type Upgrading<Io> =
    Pin<Box<dyn Future<Output = Result<Connection<Io>, BoxError>> + Send>>;

/// The future of a connection that is served by an [`UpgradeService`](crate::UpgradeService).
#[must_use = "futures do nothing unless they are polled"]
pub struct UpgradeFuture<S: Service<Connection<Io>>, Io> {
    state: State<S, Io>,
}

// ## Upgrading => Serving
enum State<S: Service<Connection<Io>>, Io> {
    Upgrading {
        upgrading: Upgrading<Io>,
        inner: S,
    },
    /// The handler's future is boxed where it is made. After that it is never moved: neither into
    /// the task nor through the outer upgrades.
    Serving(Pin<Box<S::Future>>),
}

impl<S: Service<Connection<Io>>, Io> UpgradeFuture<S, Io> {
    pub(super) fn new(upgrading: Upgrading<Io>, inner: S) -> Self {
        UpgradeFuture {
            state: State::Upgrading { upgrading, inner },
        }
    }
}

// Nothing in it is pinned structurally.
impl<S: Service<Connection<Io>>, Io> Unpin for UpgradeFuture<S, Io> {}

impl<S, Io> Future for UpgradeFuture<S, Io>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Upgrading { upgrading, inner } = &mut self.state {
            let conn = ready!(upgrading.as_mut().poll(cx))?;
            conn.set_phase(Phase::Handling);
            let serving = Box::pin(call_last(inner, conn));
            self.state = State::Serving(serving);
        }
        match &mut self.state {
            State::Serving(serving) => serving.as_mut().poll(cx).map_err(Into::into),
            State::Upgrading { .. } => unreachable!("left above"),
        }
    }
}

impl<S: Service<Connection<Io>>, Io> fmt::Debug for UpgradeFuture<S, Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpgradeFuture")
    }
}

thread_local! {
    /// The memory of the service that an [`UpgradeFuture`] is calling for the last time.
    static CALLED_LAST: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Calls a service that will be dropped afterwards.
fn call_last<S: Service<Connection<Io>>, Io>(inner: &mut S, conn: Connection<Io>) -> S::Future {
    let Range { start, end } = memory(inner);
    let _reset = Reset(CALLED_LAST.replace((start, end)));
    inner.call(conn)
}

/// Restores the previous value, even after a panic.
struct Reset((usize, usize));

impl Drop for Reset {
    fn drop(&mut self) {
        CALLED_LAST.set(self.0);
    }
}

/// Returns whether this is the last call of `service`, because it lies inside a service that an
/// [`UpgradeFuture`] owns and is calling. A service behind a pointer, which may be shared, lies
/// elsewhere.
pub(super) fn is_called_last<S>(service: &S) -> bool {
    let (start, end) = CALLED_LAST.get();
    let service = memory(service);
    start <= service.start && service.end <= end
}

fn memory<T>(value: &T) -> Range<usize> {
    let start = ptr::from_ref(value).addr();
    start..start + size_of::<T>()
}
