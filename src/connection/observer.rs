//! The trait of observers: callbacks for the events of a server.

use super::event;
use crate::connection::{Acceptor, ConnectionHandle, DrainReport};
use std::sync::Arc;

/// Receives server events. Every method has an empty default implementation.
///
/// The core itself logs nothing. To log, count or trace, pass an observer to
/// [`Server::observe`](crate::Server::observe).
///
/// [`observer_fn`](crate::observer_fn) makes an observer of a closure.
///
/// Callbacks run on the task in which the event happens and delay it, so they must return quickly
/// and must not block. A panic in a callback is caught and ignored; the other observers are still
/// called.
///
/// For every accepted connection, [`connection_started`](Self::connection_started) and
/// [`connection_ended`](Self::connection_ended) are called exactly once, however it ends.
///
/// Most callbacks receive a struct from the module [`event`]. These structs may gain
/// fields without a breaking change.
///
/// # Example
///
/// An observer that counts connections. An `Arc` of an observer is an observer too, so the program
/// can keep a reference to it:
///
/// ```
/// use reagent::{Connection, ConnectionHandle, Observer, Outcome, Server, event};
/// use std::sync::{
///     Arc,
///     atomic::{AtomicU64, Ordering::Relaxed},
/// };
///
/// #[derive(Default)]
/// struct Counts {
///     started: AtomicU64,
///     panicked: AtomicU64,
/// }
///
/// impl Observer for Counts {
///     fn connection_started(&self, _: &ConnectionHandle) {
///         self.started.fetch_add(1, Relaxed);
///     }
///
///     fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
///         if let Outcome::Panicked(_) = event.outcome {
///             self.panicked.fetch_add(1, Relaxed);
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let counts = Arc::new(Counts::default());
/// let server = Server::bind("127.0.0.1:0")
///     .observe(counts.clone())
///     .start(reagent::handle(|_: Connection| async { std::io::Result::Ok(()) }))
///     .await?;
///
/// # let addr = server.local_addr().to_string();
/// # let mut client = tokio::net::TcpStream::connect(addr).await?;
/// // … a client connects, and its connection is closed by the handler.
/// # assert_eq!(tokio::io::AsyncReadExt::read(&mut client, &mut [0]).await?, 0);
/// server.drain(std::time::Duration::from_secs(1)).await;
/// assert_eq!(counts.started.load(Relaxed), 1);
/// assert_eq!(counts.panicked.load(Relaxed), 0);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an observer",
    label = "not an `Observer`",
    note = "a closure of `event::Event` becomes an observer by `reagent::observer_fn`"
)]
pub trait Observer: Send + Sync + 'static {
    /// Called when the server has started to listen on an address.
    fn listener_started(&self, event: &event::Listening<'_>) {
        let _ = event;
    }

    /// Called when a listening socket no longer accepts. It is reopened if that is possible.
    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        let _ = event;
    }

    /// Called when a lost listening socket could not be reopened.
    fn listener_reopen_failed(&self, event: &event::ListenerReopenFailed<'_>) {
        let _ = event;
    }

    /// Called when a lost listening socket has been replaced.
    fn listener_reopened(&self, event: &event::Listening<'_>) {
        let _ = event;
    }

    /// Called when the server has stopped listening on an address, because it drains or is aborted.
    fn listener_stopped(&self, event: &event::Listening<'_>) {
        let _ = event;
    }

    /// Called when an acceptor has its service and begins to accept.
    fn acceptor_started(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// Called when the service of an acceptor failed, panicked or could not be made.
    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        let _ = event;
    }

    /// Called when an acceptor stops accepting, because there are fewer acceptors, the server
    /// stops, or its service failed and will be replaced. Each call follows an
    /// [`acceptor_started`](Self::acceptor_started).
    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// Called when accepting a client has failed. While the process or the system lacks descriptors
    /// or memory, it is called for each attempt, and [`exhausted`](Self::exhausted) only once.
    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        let _ = event;
    }

    /// Called when the process or the system has run out of descriptors or memory, so that no
    /// client can be served. It is called once, however many acceptors are affected.
    fn exhausted(&self, event: &event::Exhausted<'_>) {
        let _ = event;
    }

    /// Called when clients can be served again after [`exhausted`](Self::exhausted).
    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        let _ = event;
    }

    /// Called when a client waits because `max_connections` are open.
    fn limit_reached(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// Called when the wait at `max_connections` is over and the client can be accepted.
    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        let _ = event;
    }

    /// Called when a connection has been accepted, before any layer receives it.
    fn connection_started(&self, connection: &ConnectionHandle) {
        let _ = connection;
    }

    /// Called when a layer or a handler [labels](crate::Connection::label) a connection, before the
    /// label appears among its [`labels`](crate::ConnectionInfo::labels).
    ///
    /// It runs in the task of the caller of `label`, and so in its tracing span.
    fn connection_labelled(&self, event: &event::ConnectionLabelled<'_>) {
        let _ = event;
    }

    /// Called when a limit in a dry run would have refused, delayed or ended a connection. The
    /// connection goes on. Each decision is reported once.
    ///
    /// It is called before the limit appears in the [label](crate::ConnectionInfo::labels)
    /// `dry_run` of the connection.
    fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        let _ = event;
    }

    /// Called when an [upgrade](crate::Upgrade) of a connection has succeeded, such as a TLS
    /// handshake. A failed upgrade is reported only as the outcome of the connection.
    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        let _ = event;
    }

    /// Called when a connection is over and its socket is closed. The connection is counted as open
    /// until this callback returns.
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let _ = event;
    }

    /// Called when a successor has taken over, before the server drains: see
    /// [`Handover`](crate::Handover).
    ///
    /// A program that a service manager watches names the new process here: if the manager sees
    /// this process end first, it takes the service for dead.
    fn handed_over(&self, event: &event::HandedOver) {
        let _ = event;
    }

    /// Called when a successor could not take over, so that the server goes on: see
    /// [`Handover`](crate::Handover).
    fn handover_failed(&self, event: &event::HandoverFailed<'_>) {
        let _ = event;
    }

    /// Called when a shutdown with a lame duck stage has been requested. The server goes on
    /// accepting, and [`drain_started`](Self::drain_started) follows.
    fn lame_duck_started(&self, event: &event::LameDuckStarted) {
        let _ = event;
    }

    /// Called when the server begins to drain, before connections are notified.
    fn drain_started(&self, event: &event::DrainStarted) {
        let _ = event;
    }

    /// Called when the drain is over and the server stops.
    fn drain_ended(&self, report: &DrainReport) {
        let _ = report;
    }
}

/// Implements `Observer` for pointers to observers.
macro_rules! delegate_observer {
    ($($pointer:ident),+) => {$(
        // A method missing from this list would silently do nothing.
        #[deny(clippy::missing_trait_methods)]
        impl<T: Observer + ?Sized> Observer for $pointer<T> {
            delegate_observer!(@methods
                listener_started(event::Listening<'_>)
                listener_lost(event::ListenerLost<'_>)
                listener_reopen_failed(event::ListenerReopenFailed<'_>)
                listener_reopened(event::Listening<'_>)
                listener_stopped(event::Listening<'_>)
                acceptor_started(Acceptor)
                acceptor_failed(event::AcceptorFailed<'_>)
                acceptor_stopped(Acceptor)
                accept_failed(event::AcceptFailed<'_>)
                exhausted(event::Exhausted<'_>)
                exhaustion_ended(event::ExhaustionEnded)
                limit_reached(Acceptor)
                limit_waited(event::LimitWaited<'_>)
                connection_started(ConnectionHandle)
                connection_labelled(event::ConnectionLabelled<'_>)
                connection_spared(event::ConnectionSpared<'_>)
                connection_upgraded(event::ConnectionUpgraded<'_>)
                connection_ended(event::ConnectionEnded<'_>)
                handed_over(event::HandedOver)
                handover_failed(event::HandoverFailed<'_>)
                lame_duck_started(event::LameDuckStarted)
                drain_started(event::DrainStarted)
                drain_ended(DrainReport)
            );
        }
    )+};
    (@methods $($method:ident($event:ty))+) => {$(
        fn $method(&self, event: &$event) {
            (**self).$method(event);
        }
    )+};
}

delegate_observer!(Arc, Box);
