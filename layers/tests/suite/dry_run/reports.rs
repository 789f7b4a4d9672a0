//! Where the decisions of a dry run are seen.

use super::read_all;
use crate::{
    capture::{Capture, field},
    metrics::Page,
    support::until,
};
use reagent::{Server, handle, testing::MemoryListener};
use reagent_layers::{
    limit::{PerClient, PerClientLayer},
    trace::TraceObserver,
};
use std::net::SocketAddr;
use tracing::Level;

#[tokio::test]
async fn metrics_trace_and_labels_name_the_limit() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (page, metrics) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let limit = PerClient::new(1).dry_run(true);
    let server = Server::new(listener)
        .observe(metrics)
        .observe(TraceObserver::new().failure_level(Level::WARN))
        .layer(PerClientLayer::new(limit))
        .start(handle(read_all))
        .await
        .unwrap();
    let addr: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(clients.connect_from(addr).await.unwrap());
    }
    until("all are served", || server.stats().accepted == 3).await;
    let limit = ("limit", "limit: client connections");
    until("all are spared", || {
        capture.named("connection spared by a dry run").len() == 2
    })
    .await;
    assert_eq!(page.value("reagent_dry_run_total", limit), 2.0);
    for (event, id) in capture
        .named("connection spared by a dry run")
        .iter()
        .zip(["2", "3"])
    {
        assert_eq!(event.level, Level::WARN);
        assert_eq!(field(&event.fields, "connection.id"), Some(id));
        assert_eq!(field(&event.fields, "layer"), Some("limit"));
        assert_eq!(field(&event.fields, "reason"), Some("client connections"));
        assert_eq!(
            field(&event.fields, "network.peer.address"),
            Some("192.0.2.1")
        );
    }
    let label = server.connection(3).unwrap().label("dry_run");
    assert_eq!(label.as_deref(), Some("limit: client connections"));
    assert_eq!(server.connection(1).unwrap().label("dry_run"), None);
    drop(held);
    until("they have ended", || server.connection_count() == 0).await;
    assert_eq!(server.stats().completed, 3);
}
