//! The stack of a listener, made from the inside out.

use crate::{
    certificates::{Certificates, TlsOptions},
    limits::Limits,
    options::{ApplyTo, Listener, Plaintext, ProxyIn, ProxyOut, Route, StartTls},
    pool_spec::{List, Spec},
    pools::Pools,
    upstream::Upstream,
    values::join,
};
use reagent::{BoxError, Connection, IoStream};
use reagent_layers::{
    Refusal, Tarpit,
    access::{Access, AccessLayer},
    bandwidth::BandwidthLayer,
    cluster::ClusterLayer,
    limit::{AcceptRateLayer, InFlightLayer, PerClientLayer},
    proxy_protocol::{Mode, ProxyProtocolLayer},
    route::{Router, offers, protocol, server_name},
    sniff::{Protocol, SniffLayer, Undecided},
    starttls::StartTlsLayer,
    timeout::TimeoutsLayer,
};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::{
    Layer, Service, service_fn,
    util::{BoxCloneSyncService, option_layer},
};

/// A service whose type does not depend on its layers.
pub type BoxStack = BoxCloneSyncService<Connection, (), BoxError>;

/// A stack, and a line about each of its layers, the outermost first.
#[derive(Clone)]
pub struct Stack {
    pub service: BoxStack,
    lines: Vec<String>,
}

/// The end of the line of a layer that is only tried.
const DRY_RUN: &str = " (dry run)";

/// The parts of the stack of a listener.
pub struct Parts<'a> {
    pub listener: &'a Listener,
    pub limits: &'a Limits,
    pub certificates: &'a Certificates,
    pub pools: &'a Pools,
    pub tarpit: &'a Tarpit,
    /// Whether clients can be banned.
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
            let limit = limit.clone();
            let limit = limit.dry_run(listener.tries("cluster-per-client"));
            let line = self.line("cluster-per-client", line);
            stack.around(ClusterLayer::new(limit), line);
        }
        // Outside of the limit that may have to ask the store.
        if let Some(max) = listener.per_client {
            let limit = limits.per_client.clone();
            let limit = limit.dry_run(listener.tries("per-client"));
            let line = format!("per-client: {max} connections");
            stack.around(PerClientLayer::new(limit), self.line("per-client", line));
        }
        self.add_access(&mut stack);
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
            let layer = layer.dry_run(listener.tries("accept-rate"));
            let line = format!("accept-rate: {rate}/s");
            stack.around(layer, self.line("accept-rate", line));
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

    /// Adds the layers of access rules: one for those that are enforced, and inside of it one for
    /// all of them if some are only tried.
    fn add_access(&self, stack: &mut Stack) {
        let Parts {
            listener, limits, ..
        } = self;
        let lists = |is_tried: bool| {
            let is_in = |list: &str| listener.tries(list) == is_tried;
            let allow = listener.allow.iter().filter(|_| is_in("allow"));
            let deny = listener.deny.iter().filter(|_| is_in("deny"));
            let bans = !is_tried && self.has_bans;
            let lists = [
                join("allow ", allow),
                join("deny ", deny),
                join("", bans.then_some("bans")),
            ];
            join("access: ", lists.iter().filter(|list| !list.is_empty()))
        };
        let mut add = |access: &Access, rules: String, end: &str| {
            let layer = AccessLayer::new(access.clone().apply(listener.apply_to.into()));
            let line = match rules.is_empty() {
                true => "access: no rules".to_owned(),
                false => rules,
            };
            stack.around(layer, line + end);
        };
        // Rules that a reload adds can apply only to connections that have passed the layer.
        let applies_later = listener.apply_to == ApplyTo::Existing;
        let (tried, enforced) = (lists(true), lists(false));
        let tries_later =
            applies_later && ["allow", "deny"].iter().any(|list| listener.tries(list));
        if !tried.is_empty() || tries_later {
            add(&limits.tried_access, tried, DRY_RUN);
        }
        if !enforced.is_empty() || applies_later {
            add(&limits.access, enforced, "");
        }
    }

    /// Returns the line of an option, which says whether it is only tried.
    fn line(&self, option: &str, line: String) -> String {
        match self.listener.tries(option) {
            true => line + DRY_RUN,
            false => line,
        }
    }

    /// Makes the part of the stack that differs by route.
    fn routes(&self) -> Result<Stack, BoxError> {
        let Parts { listener, .. } = self;
        let rest = !listener.to.is_empty();
        let rest = rest.then(|| self.served(None, listener.tls(), listener.starttls));
        let has_routes = !listener.route.is_empty();
        let access = self.fingerprints();
        if let (Some(rest), false, None) = (&rest, has_routes, &access) {
            return Ok(rest.clone());
        }
        let refusal = Refusal::tarpit(self.tarpit);
        let (mut router, mut lines) = (Router::new().refusal(refusal), Vec::new());
        if let Some((_, line)) = &access {
            lines.push(line.clone());
        }
        let mut list = |title: String, stack: &Stack| {
            lines.push(title);
            lines.extend(stack.lines.iter().map(|line| format!("  {line}")));
        };
        if let Some((matches, stack)) = self.challenges()? {
            router = router.route(matches, Inside(stack.service));
        }
        for route in &listener.route {
            let stack = self.served(Some(route), listener.tls_of(route), None);
            list(route.to_string(), &stack);
            router = router.route(matches(route)?, Inside(stack.service));
        }
        // A client that waits for the server to speak first is not one of TLS.
        let mut undecided = Undecided::End;
        if let Some(rest) = rest {
            if !listener.has_certificate() {
                undecided = Undecided::Unknown;
            }
            match has_routes {
                true => list("other clients:".to_owned(), &rest),
                false => lines.extend(rest.lines),
            }
            router = router.fallback(Inside(rest.service));
        }
        // Without denied fingerprints, they are only logged.
        let sniff = SniffLayer::new().undecided(undecided).ja4(true);
        let access = option_layer(access.map(|(layer, _)| layer));
        let service = sniff.layer(access.layer(router));
        Ok(Stack {
            service: BoxCloneSyncService::new(service),
            lines,
        })
    }

    /// Makes the layer of the rules by fingerprint, if there are any.
    fn fingerprints(&self) -> Option<(AccessLayer, String)> {
        let Parts {
            listener, limits, ..
        } = self;
        let line = join("access: deny JA4 ", &listener.deny_ja4);
        let (access, _) = &limits.fingerprints;
        let layer = AccessLayer::new(access.clone().apply(listener.apply_to.into()));
        (!line.is_empty()).then(|| (layer, self.line("deny-ja4", line)))
    }

    /// Makes the route of those that validate the names for which certificates are obtained. TLS
    /// answers them and ends the connection, whatever is inside.
    #[expect(clippy::type_complexity, reason = "a condition cannot be named")]
    fn challenges<Io: 'static>(
        &self,
    ) -> Result<
        Option<(
            impl Fn(&Connection<Io>) -> bool + Send + Sync + use<Io>,
            Stack,
        )>,
        BoxError,
    > {
        let Parts { listener, .. } = self;
        if listener.acme_domain.is_empty() {
            return Ok(None);
        }
        let named = server_name(listener.acme_domain.clone())?;
        let offered = offers("acme-tls/1");
        let matches = move |conn: &Connection<Io>| named(conn) && offered(conn);
        Ok(Some((
            matches,
            self.served(listener.route.first(), listener.tls(), None),
        )))
    }

    /// Makes the innermost part of the stack: TLS, time limits, bandwidth and the relay.
    fn served(
        &self,
        route: Option<&Route>,
        tls: Option<TlsOptions>,
        starttls: Option<StartTls>,
    ) -> Stack {
        let Parts { listener, .. } = self;
        let to = route.map_or(&listener.to, |route| &route.to);
        let service = match self.pools.get(listener, route) {
            Some(pool) => {
                BoxCloneSyncService::new(service_fn(move |conn| pool.clone().serve(conn)))
            }
            None => {
                let upstream = Arc::new(Upstream {
                    to: to[0].target.clone(),
                    proxy_out: listener.proxy_out,
                });
                BoxCloneSyncService::new(service_fn(move |conn| upstream.clone().serve(conn)))
            }
        };
        let header = match listener.proxy_out {
            Some(ProxyOut::V1) => ", with a PROXY header v1",
            Some(ProxyOut::V2) => ", with a PROXY header v2",
            None => "",
        };
        let line = format!(
            "relay: {}{header}",
            Spec::of(listener, route).line(&List::new(listener, to))
        );
        let mut stack = Stack {
            service,
            lines: vec![line],
        };
        if let Some(bytes) = listener.bandwidth {
            let layer = BandwidthLayer::new(self.limits.bandwidth.clone());
            let line = format!("bandwidth: {bytes} bytes/s per connection");
            stack.around(layer, self.line("bandwidth", line));
        }
        for is_tried in [true, false] {
            if let Some((layer, line)) = timeouts(listener, is_tried) {
                stack.around(layer, line);
            }
        }
        if let Some(options) = tls {
            let mut layer = self.certificates.layer(&options);
            // Names that a reload adds can apply only to connections that were checked.
            if listener.client_ca.is_some() {
                let identities = self.limits.identities.clone();
                layer = layer.admit(move |client| identities.admit(client));
            }
            let admitted = join(", admitted as ", &listener.tls_admit);
            let line = format!("tls: {options}{admitted}");
            match starttls {
                None => stack.around(layer, line),
                Some(protocol) => {
                    let passes = listener.starttls_plaintext == Some(Plaintext::Pass);
                    let others = if passes { "passed on" } else { "refused" };
                    let (layer, name) = match protocol {
                        StartTls::Ldap => (StartTlsLayer::ldap(layer), "LDAP"),
                        StartTls::Postgres => (StartTlsLayer::postgres(layer), "PostgreSQL"),
                    };
                    let line = format!("{line}, as {name} clients ask for; others are {others}");
                    stack.around(layer.allow_plaintext(passes), line);
                }
            }
        }
        stack
    }
}

/// Returns the layer of the time limits that are tried or enforced, if there are any.
fn timeouts(listener: &Listener, is_tried: bool) -> Option<(TimeoutsLayer, String)> {
    let only = |option: &'static str| move |_: &Duration| listener.tries(option) == is_tried;
    let idle = Some(listener.idle_timeout.0).filter(|limit| !limit.is_zero());
    let idle = idle.filter(only("idle-timeout"));
    let first_byte = listener.first_byte_timeout.map(|limit| limit.0);
    let first_byte = first_byte.filter(only("first-byte-timeout"));
    let age = listener.max_age.map(|limit| limit.0);
    let age = age.filter(only("max-age"));
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
        .max_age(age, age.unwrap_or_default() / 10, listener.max_age_grace.0)
        .dry_run(is_tried);
    let end = if is_tried { DRY_RUN } else { "" };
    (!lines.is_empty()).then(|| (layer, join("timeouts: ", &lines) + end))
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
