//! The limits of an upgrade: its time limit and a drain.

use super::Upgrade;
use crate::{
    BoxError,
    connection::{Connection, ConnectionHandle},
    outcome::{LetGo, TimedOut},
};
use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a client that has sent nothing is waited for when the server drains: long enough for
/// one that has just connected, short enough for two upgrades in a row to end within a second.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

pub(super) async fn upgrade_in_time<U: Upgrade<Io>, Io: Send>(
    upgrade: Arc<U>,
    conn: Connection<Io>,
    limit: Option<Duration>,
) -> Result<Connection<U::Io>, BoxError> {
    // The clock is read only for observers.
    let began = conn.is_observed().then(Instant::now);
    let start = Start::of(conn.handle());
    let mut upgrading = pin!(upgrade.upgrade(conn));
    // Most upgrades need no timer: the client's first bytes have arrived, or none are needed.
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(upgrading.as_mut().poll(cx))).await {
        return tell(upgrade.name(), began, result);
    }
    // Boxed, since it is larger than everything else and most connections never get here.
    let result = Box::pin(within(limit, upgrade.name(), start, upgrading)).await;
    tell(upgrade.name(), began, result)
}

/// Reports a completed upgrade to observers, if there were any when it began.
fn tell<Io>(
    name: &'static str,
    began: Option<Instant>,
    result: Result<Connection<Io>, BoxError>,
) -> Result<Connection<Io>, BoxError> {
    if let (Some(began), Ok(conn)) = (began, &result) {
        conn.notify_upgraded(name, began.elapsed());
    }
    result
}

/// Takes the future by reference, since a future that is passed into another one takes up space in
/// it twice.
async fn within<T>(
    limit: Option<Duration>,
    name: &'static str,
    start: Start,
    upgrading: Pin<&mut impl Future<Output = Result<T, BoxError>>>,
) -> Result<T, BoxError> {
    tokio::select! {
        biased;
        done = start.handle.wait_within_opening(limit, upgrading) => {
            done.unwrap_or_else(|| Err(TimedOut::new(name).into()))
        }
        () = start.let_go() => Err(LetGo.into()),
    }
}

/// The byte counts of the connection when its upgrade began.
struct Start {
    handle: ConnectionHandle,
    read: u64,
    written: u64,
}

impl Start {
    fn of(handle: ConnectionHandle) -> Self {
        Start {
            read: handle.bytes_read(),
            written: handle.bytes_written(),
            handle,
        }
    }

    /// Resolves when the server drains and the client has sent nothing.
    async fn let_go(&self) {
        self.handle.until_draining().await;
        sleep(DRAIN_GRACE).await;
        if self.is_begun() {
            pending::<()>().await;
        }
    }

    /// An upgrade may receive bytes that an outer upgrade has read ahead. It has begun once it
    /// answers them.
    fn is_begun(&self) -> bool {
        let answers = self.read > 0 && self.handle.bytes_written() > self.written;
        self.handle.bytes_read() > self.read || answers
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::{BoxIo, Handler, UpgradeFuture};
    use std::future::Ready;

    struct Pass;

    impl Upgrade<BoxIo> for Pass {
        type Io = BoxIo;

        async fn upgrade(&self, conn: Connection) -> Result<Connection, BoxError> {
            Ok(conn)
        }
    }

    fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_upgrade_has_not_grown() {
        type Handle = fn(Connection) -> Ready<Result<(), BoxError>>;

        let upgrading = size(upgrade_in_time::<Pass, BoxIo>);
        assert!(upgrading <= 272, "upgrading: {upgrading} bytes");
        let future = size_of::<UpgradeFuture<Handler<Handle>, BoxIo>>();
        assert!(future <= 24, "UpgradeFuture: {future} bytes");
    }
}
