//! The same stacks as users write them, with a type for each order.

use super::{Parts, kinds::all, memory};
use crate::support::{echo, echoes};
use reagent::{Outcome, handle};
use reagent_layers::{
    access::AccessLayer,
    bandwidth::BandwidthLayer,
    limit::{AcceptRateLayer, InFlightLayer, PerClientLayer, PerClientRateLayer},
    route::{Router, protocol},
    sniff::Protocol,
    trace::TraceLayer,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, ServiceBuilder, limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

/// Serves a client that sends a header and does a handshake, through these layers, the outermost
/// first.
macro_rules! serves {
    ($parts:ident: $($layer:expr),+ $(,)?) => {
        serves!($parts, handle(echo); $($layer),+)
    };
    ($parts:ident, $service:expr; $($layer:expr),+ $(,)?) => {{
        let (server, clients) = memory();
        let ends = crate::support::Ends::default();
        let server = server.observe(ends.clone())$(.layer($layer))+;
        let server = server.start($service).await.unwrap();
        let mut io = $parts.connect(&clients, &all()).await.unwrap();
        assert!(echoes(&mut io, "hello").await);
        io.shutdown().await.unwrap();
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
        assert!(matches!(ends.of(1).await, Outcome::Completed));
        assert_eq!(server.connection_count(), 0);
    }};
}

#[tokio::test(start_paused = true)]
async fn all_layers_in_the_usual_order() {
    let p = Parts::new();
    serves!(p:
        AcceptRateLayer::new(p.accept_rate.clone()),
        InFlightLayer::new(p.in_flight.clone()),
        p.proxy_protocol.clone(),
        TraceLayer::new(),
        AccessLayer::new(p.access.clone()),
        PerClientLayer::new(p.per_client.clone()),
        PerClientRateLayer::new(p.per_client_rate.clone()),
        BandwidthLayer::new(p.bandwidth.clone()),
        p.tls.clone(),
        p.timeouts.clone(),
        p.sniff.clone(),
    );
}

#[tokio::test(start_paused = true)]
async fn all_layers_as_far_from_it_as_is_allowed() {
    let p = Parts::new();
    serves!(p:
        p.proxy_protocol.clone(),
        p.timeouts.clone(),
        PerClientRateLayer::new(p.per_client_rate.clone()),
        PerClientLayer::new(p.per_client.clone()),
        AccessLayer::new(p.access.clone()),
        TraceLayer::new(),
        InFlightLayer::new(p.in_flight.clone()),
        AcceptRateLayer::new(p.accept_rate.clone()),
        p.sniff.clone(),
        p.tls.clone(),
        BandwidthLayer::new(p.bandwidth.clone()),
        p.fault.clone(),
    );
}

#[tokio::test(start_paused = true)]
async fn layers_twice_and_towers_own_between_them() {
    let p = Parts::new();
    serves!(p:
        ConcurrencyLimitLayer::new(10),
        p.proxy_protocol.clone(),
        TimeoutLayer::new(Duration::from_secs(60)),
        AccessLayer::new(p.access.clone()),
        p.timeouts.clone(),
        ConcurrencyLimitLayer::new(10),
        AccessLayer::new(p.access.clone()),
        p.tls.clone(),
        p.timeouts.clone(),
        TimeoutLayer::new(Duration::from_secs(30)),
    );
}

#[tokio::test(start_paused = true)]
async fn layers_around_a_router_and_in_its_routes() {
    let p = Parts::new();
    let router = Router::new()
        .route(
            protocol(Protocol::Tls),
            ServiceBuilder::new()
                .layer(p.tls.clone())
                .layer(p.timeouts.clone())
                .layer(BandwidthLayer::new(p.bandwidth.clone()))
                .service(handle(echo)),
        )
        .fallback(p.timeouts.layer(handle(echo)));
    serves!(p, router;
        p.proxy_protocol.clone(),
        TraceLayer::new(),
        AccessLayer::new(p.access.clone()),
        p.sniff.clone(),
    );
}
