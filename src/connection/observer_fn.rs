//! An observer that is a function of events.

use super::{
    Acceptor, ConnectionHandle, DrainReport, Observer,
    event::{self, Event},
};
use std::{any::type_name, fmt};

/// Makes an observer of a closure that receives every event as an [`Event`].
///
/// It is the short way to log or forward a few events. An observer with state and many callbacks is
/// easier to read as an implementation of [`Observer`].
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, event::Event, observer_fn};
///
/// let server = Server::bind("127.0.0.1:0").observe(observer_fn(|event| match event {
///     Event::ConnectionStarted(connection) => {
///         println!("{} connected", connection.peer_addr());
///     }
///     Event::ConnectionEnded(event) => {
///         println!("{}: {}", event.connection.peer_addr(), event.outcome);
///     }
///     Event::AcceptFailed(event) => eprintln!("accept failed: {}", event.error),
///     _ => {}
/// }));
/// # let _ = server;
/// ```
pub fn observer_fn<F>(function: F) -> ObserverFn<F>
where
    F: Fn(Event<'_>) + Send + Sync + 'static,
{
    ObserverFn(function)
}

/// The observer that [`observer_fn`] makes.
#[derive(Clone, Copy)]
pub struct ObserverFn<F>(F);

/// Implements every callback of `Observer` by a call of the closure.
macro_rules! observe_by {
    ($($method:ident($type:ty) => $variant:ident)+) => {
        // A callback missing from this list would silently do nothing.
        #[deny(clippy::missing_trait_methods)]
        impl<F: Fn(Event<'_>) + Send + Sync + 'static> Observer for ObserverFn<F> {$(
            fn $method(&self, event: &$type) {
                (self.0)(Event::$variant(event));
            }
        )+}
    };
}

observe_by! {
    listener_started(event::Listening<'_>) => ListenerStarted
    listener_lost(event::ListenerLost<'_>) => ListenerLost
    listener_reopen_failed(event::ListenerReopenFailed<'_>) => ListenerReopenFailed
    listener_reopened(event::Listening<'_>) => ListenerReopened
    listener_stopped(event::Listening<'_>) => ListenerStopped
    acceptor_started(Acceptor) => AcceptorStarted
    acceptor_failed(event::AcceptorFailed<'_>) => AcceptorFailed
    acceptor_stopped(Acceptor) => AcceptorStopped
    accept_failed(event::AcceptFailed<'_>) => AcceptFailed
    exhausted(event::Exhausted<'_>) => Exhausted
    exhaustion_ended(event::ExhaustionEnded) => ExhaustionEnded
    limit_reached(Acceptor) => LimitReached
    limit_waited(event::LimitWaited<'_>) => LimitWaited
    connection_started(ConnectionHandle) => ConnectionStarted
    connection_labelled(event::ConnectionLabelled<'_>) => ConnectionLabelled
    connection_spared(event::ConnectionSpared<'_>) => ConnectionSpared
    connection_upgraded(event::ConnectionUpgraded<'_>) => ConnectionUpgraded
    connection_ended(event::ConnectionEnded<'_>) => ConnectionEnded
    handed_over(event::HandedOver) => HandedOver
    handover_failed(event::HandoverFailed<'_>) => HandoverFailed
    lame_duck_started(event::LameDuckStarted) => LameDuckStarted
    drain_started(event::DrainStarted) => DrainStarted
    drain_ended(DrainReport) => DrainEnded
}

impl<F> fmt::Debug for ObserverFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObserverFn")
            .field(&type_name::<F>())
            .finish()
    }
}
