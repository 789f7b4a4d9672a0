//! The stack of a listener, made from the inside out.

use crate::{
    certificates::{Certificates, TlsOptions},
    limits::Limits,
    options::{Listener, ProxyIn, ProxyOut, Route},
    upstream::Upstream,
    values::{Target, join},
};
use reagent::{BoxError, Connection, IoStream};
use reagent_layers::{
    access::AccessLayer,
    bandwidth::BandwidthLayer,
    cluster::ClusterLayer,
    limit::{AcceptRateLayer, InFlightLayer, PerClientLayer},
    proxy_protocol::{Mode, ProxyProtocolLayer},
    route::{Router, offers, protocol, server_name},
    sniff::{Protocol, SniffLayer, Undecided},
    timeout::TimeoutsLayer,
};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service, service_fn, util::BoxCloneSyncService};

/// A service whose type does not depend on its layers.
pub type BoxStack = BoxCloneSyncService<Connection, (), BoxError>;

/// A stack, and a line about each of its layers, the outermost first.
#[derive(Clone)]
pub struct Stack {
    pub service: BoxStack,
    lines: Vec<String>,
}

/// The parts of the stack of a listener.
pub struct Parts<'a> {
    pub listener: &'a Listener,
    pub limits: &'a Limits,
    pub certificates: &'a Certificates,
    /// Whether there is an admin page, on which clients can be banned.
    pub has_bans: bool,
}

impl Stack {
    /// Puts a layer around the stack.
    fn around<L>(&mut self, layer: L, line: String)
    where
        L: Layer<Inside>,
        L::Service: Service<Connection, Response = (), Error = BoxError, Future: Send>,
        L::Service: Clone + Send + Sync + 'static,
    {
        self.service = BoxCloneSyncService::new(layer.layer(Inside(self.service.clone())));
        self.lines.insert(0, line);
    }
}

impl Parts<'_> {
    /// Makes the whole stack.
    pub fn stack(&self) -> Result<Stack, BoxError> {
        let Parts {
            listener, limits, ..
        } = self;
        let mut stack = self.routes()?;
        if let Some(limit) = &limits.cluster {
            let line = format!("cluster-per-client: {} connections", limit.max());
            stack.around(ClusterLayer::new(limit.clone()), line);
        }
        // Outside of the limit that may have to ask the store.
        if let Some(max) = listener.per_client {
            let layer = PerClientLayer::new(limits.per_client.clone());
            stack.around(layer, format!("per-client: {max} connections"));
        }
        if !listener.allow.is_empty() || !listener.deny.is_empty() || self.has_bans {
            let lists = [
                join("allow ", &listener.allow),
                join("deny ", &listener.deny),
                join("", self.has_bans.then_some("bans of the admin page")),
            ];
            let lists = lists.iter().filter(|list| !list.is_empty());
            let line = join("access: ", lists);
            stack.around(AccessLayer::new(limits.access.clone()), line);
        }
        let mode = match listener.proxy_in {
            ProxyIn::Off => None,
            ProxyIn::Optional => Some((Mode::Optional, "optional")),
            ProxyIn::Required => Some((Mode::Required, "required")),
        };
        if let Some((mode, word)) = mode {
            let layer = ProxyProtocolLayer::new(listener.trust.iter().copied()).mode(mode);
            stack.around(
                layer,
                format!("proxy-in: {word}{}", join(" from ", &listener.trust)),
            );
        }
        if let Some(rate) = listener.accept_rate {
            let layer = AcceptRateLayer::new(limits.accept_rate.clone());
            stack.around(layer, format!("accept-rate: {rate}/s"));
        }
        // It is there without a limit too, so that one that a reload adds counts the connections
        // that are open by then. `Bind::limit` would not do, because a reload can give an address
        // that stays open to another listener.
        let layer = InFlightLayer::new(limits.max_connections.clone());
        stack.service = BoxCloneSyncService::new(layer.layer(Inside(stack.service)));
        if let Some(max) = listener.max_connections {
            stack.lines.insert(0, format!("max-connections: {max}"));
        }
        Ok(stack)
    }

    /// Makes the part of the stack that differs by route.
    fn routes(&self) -> Result<Stack, BoxError> {
        let Parts { listener, .. } = self;
        let rest = listener
            .to
            .as_ref()
            .map(|to| self.served(to, listener.tls()));
        if let (Some(rest), []) = (&rest, &*listener.route) {
            return Ok(rest.clone());
        }
        let (mut router, mut lines) = (Router::new(), Vec::new());
        let mut list = |title: String, stack: &Stack| {
            lines.push(title);
            lines.extend(stack.lines.iter().map(|line| format!("  {line}")));
        };
        for route in &listener.route {
            let stack = self.served(&route.to, listener.tls_of(route));
            list(route.to_string(), &stack);
            router = router.route(matches(route)?, Inside(stack.service));
        }
        // A client that waits for the server to speak first is not one of TLS.
        let mut undecided = Undecided::End;
        if let Some(rest) = rest {
            if listener.tls_cert.is_none() {
                undecided = Undecided::Unknown;
            }
            list("other clients:".to_owned(), &rest);
            router = router.fallback(Inside(rest.service));
        }
        let service = SniffLayer::new().undecided(undecided).layer(router);
        Ok(Stack {
            service: BoxCloneSyncService::new(service),
            lines,
        })
    }

    /// Makes the innermost part of the stack: TLS, time limits, bandwidth and the relay.
    fn served(&self, to: &Target, tls: Option<TlsOptions>) -> Stack {
        let Parts { listener, .. } = self;
        let upstream = Arc::new(Upstream {
            to: to.clone(),
            proxy_out: listener.proxy_out,
        });
        let header = match listener.proxy_out {
            Some(ProxyOut::V1) => ", with a PROXY header v1",
            Some(ProxyOut::V2) => ", with a PROXY header v2",
            None => "",
        };
        let line = format!("relay: to {to}{header}");
        let mut stack = Stack {
            service: BoxCloneSyncService::new(service_fn(move |conn| upstream.clone().serve(conn))),
            lines: vec![line],
        };
        if let Some(bytes) = listener.bandwidth {
            let layer = BandwidthLayer::new(self.limits.bandwidth.clone());
            stack.around(layer, format!("bandwidth: {bytes} bytes/s per connection"));
        }
        if let Some((layer, line)) = timeouts(listener) {
            stack.around(layer, line);
        }
        if let Some(options) = tls {
            stack.around(self.certificates.layer(&options), format!("tls: {options}"));
        }
        stack
    }
}

/// Returns the layer of time limits, if there is one.
fn timeouts(listener: &Listener) -> Option<(TimeoutsLayer, String)> {
    let idle = Some(listener.idle_timeout.0).filter(|limit| !limit.is_zero());
    let first_byte = listener.first_byte_timeout.map(|limit| limit.0);
    let age = listener.max_age.map(|limit| limit.0);
    let limits = [("first byte", first_byte), ("idle", idle), ("age", age)];
    let lines = limits
        .iter()
        .filter_map(|(name, limit)| Some(format!("{name} {:?}", (*limit)?)));
    let lines: Vec<String> = lines.collect();
    let layer = TimeoutsLayer::new()
        .first_byte(first_byte)
        .idle(idle)
        .write(idle)
        // The jitter keeps clients that connected together from reconnecting together.
        .max_age(age, age.unwrap_or_default() / 10, listener.max_age_grace.0);
    (!lines.is_empty()).then(|| (layer, join("timeouts: ", &lines)))
}

/// Returns the condition of a route.
fn matches<Io: 'static>(
    route: &Route,
) -> Result<impl Fn(&Connection<Io>) -> bool + Send + Sync + use<Io>, BoxError> {
    let named = server_name(route.sni.clone())?;
    let offered: Vec<_> = route.alpn.iter().cloned().map(offers).collect();
    let (any_name, any_protocol) = (route.sni.is_empty(), route.alpn.is_empty());
    let tls = protocol(Protocol::Tls);
    Ok(move |conn: &Connection<Io>| {
        tls(conn)
            && (any_name || named(conn))
            && (any_protocol || offered.iter().any(|offers| offers(conn)))
    })
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Adapts a stack to connections with any stream.
#[derive(Clone)]
pub struct Inside(BoxStack);

impl<Io: IoStream> Service<Connection<Io>> for Inside {
    type Response = ();
    type Error = BoxError;
    type Future = <BoxStack as Service<Connection>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        self.0.call(conn.boxed())
    }
}
