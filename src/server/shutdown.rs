//! Ending a server.

use super::ServerHandle;
use crate::{connection::DrainReport, pool::Shutdown};
use std::{future::Future, time::Duration};

impl ServerHandle {
    /// Shuts the server down in stages, and reports how its connections ended.
    ///
    /// 1. For the time of [`lame_duck`](Shutdown::lame_duck), clients are accepted and served as
    ///    before, while [`readiness`](Self::readiness) and [`status`](Self::status) tell load
    ///    balancers to look elsewhere. A paused server stays paused.
    /// 2. Then the drain starts. Connections are notified, at once or one after the other over the
    ///    time of [`spread`](Shutdown::spread): their [`draining`](crate::Connection::draining)
    ///    futures resolve.
    /// 3. Meanwhile, clients that are already in the queue are accepted, if the limits allow it
    ///    without waiting. They are notified at once.
    /// 4. Then the listening sockets are closed; later clients are refused.
    /// 5. Connections that have not finished when the [`deadline`](Shutdown::deadline) has passed
    ///    since the start of the drain are aborted.
    ///
    /// It returns as soon as the drain has started and no connection is open.
    ///
    /// If it is called more than once, all calls wait for the same shutdown, and the earliest end
    /// of each stage applies. A call without a lame duck stage therefore starts the drain at once,
    /// and one without a spread notifies the rest at once. Once the drain has started, the times of
    /// a further call count from that call. To wait for the end without changing anything, use
    /// [`wait`](Self::wait).
    ///
    /// If all listeners are lost for good in the lame duck stage, the drain starts at once.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server, ServerStatus, Shutdown, handle};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let server = Server::bind("127.0.0.1:0")
    ///     .start(handle(async |_: Connection| std::io::Result::Ok(())))
    ///     .await?;
    /// let shutdown = Shutdown::new(Duration::from_secs(20)).lame_duck(Duration::from_secs(5));
    ///
    /// let handle = server.clone();
    /// let ended = tokio::spawn(async move { handle.shutdown(shutdown).await });
    /// # tokio::task::yield_now().await;
    /// // The server still accepts clients, but tells load balancers not to send any.
    /// assert_eq!(server.status(), ServerStatus::LameDuck);
    /// assert!(!server.readiness().is_ready());
    ///
    /// println!("{}", ended.await?); // 0 finished, 0 aborted; notified 0, took 0ns after 5s …
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, the shutdown continues. The shutdown is requested
    /// when the future is first polled.
    pub async fn shutdown(&self, shutdown: Shutdown) -> DrainReport {
        self.pool.shut_down(shutdown);
        self.pool.stopped().await.0
    }

    /// Drains the server: notifies all connections at once, and aborts those that are left after
    /// `deadline`.
    ///
    /// It is the short form of [`shutdown`](Self::shutdown) with [`Shutdown::new(deadline)`]. If
    /// the server is already shutting down, the drain starts at once, and the earliest deadline
    /// applies.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, the drain continues. Call it again to wait for the
    /// end.
    ///
    /// [`Shutdown::new(deadline)`]: Shutdown::new
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.shutdown(Shutdown::new(deadline)).await
    }

    /// Waits for `signal`, or until the server stops by itself, and then [drains](Self::drain) it.
    ///
    /// ```no_run
    /// # async fn f(server: reagent::ServerHandle) {
    /// let ctrl_c = tokio::signal::ctrl_c();
    /// let report = server.drain_on(ctrl_c, std::time::Duration::from_secs(10)).await;
    /// println!("{report}");
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: before the signal nothing has changed, and after it the drain continues.
    pub async fn drain_on<F: Future>(&self, signal: F, deadline: Duration) -> DrainReport {
        tokio::select! {
            _ = signal => {}
            _ = self.pool.stopped() => {}
        }
        self.drain(deadline).await
    }

    /// Stops the server at once: connections are aborted, and clients in the queue are reset.
    ///
    /// This method does not wait; [`wait`](Self::wait) returns when the server has stopped.
    pub fn abort(&self) {
        self.pool.abort();
    }
}
