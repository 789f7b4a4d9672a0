//! Every layer with its position in the stack, as a function from service to service.

use super::Parts;
use reagent::{BoxError, BoxIo, Connection, ConnectionService, IoStream};
use reagent_layers::{
    access::AccessLayer,
    bandwidth::BandwidthLayer,
    limit::{AcceptRateLayer, InFlightLayer, PerClientLayer, PerClientRateLayer},
    route::Router,
    trace::TraceLayer,
};
use std::task::{Context, Poll};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

/// A service with its layers erased from its type.
pub type Erased = BoxCloneSyncService<Connection, (), BoxError>;

/// A layer, and its documented position.
pub struct Kind {
    pub name: &'static str,
    /// The layers that must not be outside this one.
    outside_of: &'static [&'static str],
    wrap: fn(&Parts, Erased) -> Erased,
}

impl Kind {
    pub fn wrap(&self, parts: &Parts, inner: Erased) -> Erased {
        (self.wrap)(parts, inner)
    }

    /// Returns whether `other` may be somewhere around it.
    pub fn may_be_inside(&self, other: &Kind) -> bool {
        !self.outside_of.contains(&other.name)
    }
}

/// The expensive layers, which belong inside those that refuse clients.
const BEFORE_WORK: &[&str] = &["sniff", "tls"];

/// Layers that use the client address from a PROXY header, or the bytes after it.
#[rustfmt::skip]
const BEHIND_PROXY: &[&str] = &[
    "access", "bandwidth", "per client", "per client rate", "sniff", "timeouts", "tls", "trace",
];

const fn kind(
    name: &'static str,
    outside_of: &'static [&'static str],
    wrap: fn(&Parts, Erased) -> Erased,
) -> Kind {
    Kind {
        name,
        outside_of,
        wrap,
    }
}

/// All layers, in a valid order.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind("fault", &[], |p, s| erase(p.fault.clone(), s)),
    kind("accept rate", BEFORE_WORK, |p, s| erase(AcceptRateLayer::new(p.accept_rate.clone()), s)),
    kind("in flight", BEFORE_WORK, |p, s| erase(InFlightLayer::new(p.in_flight.clone()), s)),
    kind("proxy protocol", BEHIND_PROXY, |p, s| erase(p.proxy_protocol.clone(), s)),
    kind("trace", &["tls"], |_, s| erase(TraceLayer::new(), s)),
    kind("access", BEFORE_WORK, |p, s| erase(AccessLayer::new(p.access.clone()), s)),
    kind("per client", BEFORE_WORK, |p, s| erase(PerClientLayer::new(p.per_client.clone()), s)),
    kind("per client rate", BEFORE_WORK, |p, s| erase(PerClientRateLayer::new(p.per_client_rate.clone()), s)),
    kind("bandwidth", &[], |p, s| erase(BandwidthLayer::new(p.bandwidth.clone()), s)),
    kind("tls", &[], |p, s| erase(p.tls.clone(), s)),
    kind("timeouts", &[], |p, s| erase(p.timeouts.clone(), s)),
    kind("sniff", &[], |p, s| erase(p.sniff.clone(), s)),
    // Not a layer, but used like one: all clients take the only route, which is the inner service.
    kind("route", &[], |_, s| bottom(Router::new().route(|_: &Connection| true, Boxing(s)))),
];

/// Returns all layers, in the order of [`KINDS`].
pub fn all() -> Vec<&'static Kind> {
    KINDS.iter().collect()
}

/// Erases a custom service, for the bottom of a stack.
pub fn bottom<S>(service: S) -> Erased
where
    S: ConnectionService<Response = ()> + Clone + Sync,
{
    BoxCloneSyncService::new(service.map_err(Into::into))
}

fn erase<L>(layer: L, inner: Erased) -> Erased
where
    L: Layer<Boxing>,
    L::Service: ConnectionService<Response = ()> + Clone + Sync,
{
    bottom(layer.layer(Boxing(inner)))
}

/// Serves connections with any stream.
#[derive(Clone)]
struct Boxing(Erased);

impl<Io: IoStream> Service<Connection<Io>> for Boxing {
    type Response = ();
    type Error = BoxError;
    type Future = <Erased as Service<Connection<BoxIo>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        self.0.call(conn.boxed())
    }
}
