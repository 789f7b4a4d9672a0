//! The README's claims about tower's layers: each of them works inside and around handlers,
//! upgrades and timeouts, and our layers become optional with tower's tools.

use super::{Parts, client, header, memory, proxy};
use crate::support::{echo, echoes};
use reagent::{BoxError, Connection, ConnectionService, Server, handle};
use reagent_layers::{
    access::AccessLayer,
    bandwidth::BandwidthLayer,
    limit::{AcceptRateLayer, InFlightLayer, PerClientLayer, PerClientRateLayer},
    route::Router,
};
use std::{convert::Infallible, future::ready, time::Duration};
use tokio::io::AsyncWriteExt;
use tower::{
    Layer, ServiceExt,
    buffer::BufferLayer,
    filter::{AsyncFilterLayer, FilterLayer},
    layer::util::Identity,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    service_fn,
    timeout::TimeoutLayer,
    util::{BoxCloneService, BoxLayer, Either, MapRequestLayer, option_layer},
};

const MINUTE: Duration = Duration::from_secs(60);

type Shared = BoxCloneService<Connection, (), BoxError>;

/// Accepts the same services as [`Server::start`].
fn shared(service: impl ConnectionService<Response = ()> + Clone) -> Shared {
    BoxCloneService::new(service.map_err(Into::into))
}

fn pass<Io>(conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
    Ok(conn)
}

async fn pass_later<Io>(conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
    Ok(conn)
}

/// Puts tower's layers between a layer and a service.
macro_rules! stacks {
    ($outer:expr, $inner:expr) => {
        [
            (
                "concurrency limit",
                shared($outer.layer(ConcurrencyLimitLayer::new(9).layer($inner))),
            ),
            (
                "global limit",
                shared($outer.layer(GlobalConcurrencyLimitLayer::new(9).layer($inner))),
            ),
            (
                "load shed",
                shared($outer.layer(LoadShedLayer::new().layer($inner))),
            ),
            (
                "timeout",
                shared($outer.layer(TimeoutLayer::new(MINUTE).layer($inner))),
            ),
            (
                "buffer",
                shared($outer.layer(BufferLayer::new(9).layer($inner))),
            ),
            (
                "filter",
                shared($outer.layer(FilterLayer::new(pass).layer($inner))),
            ),
            (
                "async filter",
                shared($outer.layer(AsyncFilterLayer::new(pass_later).layer($inner))),
            ),
            (
                "map request",
                shared($outer.layer(MapRequestLayer::new(|conn| conn).layer($inner))),
            ),
            (
                "some",
                shared(
                    $outer.layer(option_layer(Some(ConcurrencyLimitLayer::new(9))).layer($inner)),
                ),
            ),
            (
                "none",
                shared($outer.layer(option_layer(None::<LoadShedLayer>).layer($inner))),
            ),
            (
                "either",
                shared(
                    $outer.layer(
                        match true {
                            true => Either::Left(LoadShedLayer::new()),
                            false => Either::Right(TimeoutLayer::new(MINUTE)),
                        }
                        .layer($inner),
                    ),
                ),
            ),
            ("boxed", shared($outer.layer(BoxCloneService::new($inner)))),
        ]
    };
}

async fn serves(p: &Parts, has_tls: bool, name: &str, start: impl AsyncFnOnce(Server)) {
    let (server, clients) = memory();
    start(server).await;
    let stream = clients.connect().await.unwrap();
    match has_tls {
        true => assert!(
            echoes(&mut p.handshake(stream).await.unwrap(), "hello").await,
            "{name}"
        ),
        false => assert!(echoes(&mut { stream }, "hello").await, "{name}"),
    }
}

async fn all_serve(p: &Parts, has_tls: bool, stacks: impl IntoIterator<Item = (&str, Shared)>) {
    for (name, stack) in stacks {
        serves(p, has_tls, name, async |server| {
            // The server continues without its handle.
            server.start(stack).await.unwrap();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn towers_layers_work_around_handlers_upgrades_and_limits() {
    let p = Parts::new();
    all_serve(&p, false, stacks!(Identity::new(), handle(echo))).await;
    all_serve(
        &p,
        true,
        stacks!(Identity::new(), p.tls.layer(handle(echo))),
    )
    .await;
    all_serve(
        &p,
        false,
        stacks!(Identity::new(), p.timeouts.layer(handle(echo))),
    )
    .await;
    let router = Router::new().fallback(handle(echo));
    all_serve(&p, false, stacks!(Identity::new(), router.clone())).await;
}

#[tokio::test(start_paused = true)]
async fn towers_layers_work_inside_upgrades_and_limits() {
    let p = Parts::new();
    all_serve(&p, true, stacks!(p.tls, handle(echo))).await;
    all_serve(&p, false, stacks!(p.timeouts, handle(echo))).await;
}

#[tokio::test(start_paused = true)]
async fn stacks_that_are_not_clone_are_made_for_each_acceptor() {
    let p = Parts::new();
    macro_rules! made {
        ($has_tls:literal, $inner:expr) => {
            let inner = $inner;
            let make = service_fn(move |_| ready(Ok::<_, Infallible>(inner.clone())));
            serves(&p, $has_tls, "rate limit", async |server| {
                let server = server.layer(RateLimitLayer::new(9, MINUTE));
                server.start_make(make.clone()).await.unwrap();
            })
            .await;
            serves(&p, $has_tls, "box layer", async |server| {
                let server = server.layer(BoxLayer::new(ConcurrencyLimitLayer::new(9)));
                server.start_make(make.clone()).await.unwrap();
            })
            .await;
        };
    }
    made!(false, handle(echo));
    made!(true, p.tls.layer(handle(echo)));
    made!(false, p.timeouts.layer(handle(echo)));
}

#[tokio::test(start_paused = true)]
async fn layers_of_ours_are_optional_around_a_handler_with_any_error() {
    let p = Parts::new();
    macro_rules! optional {
        ($($layer:expr),+ $(,)?) => {
            [true, false].map(|is_there| [$((
                stringify!($layer),
                shared(option_layer(is_there.then(|| $layer)).layer(handle(echo))),
            )),+])
        };
    }
    let stacks = optional![
        p.timeouts.clone(),
        p.sniff.clone(),
        BandwidthLayer::new(p.bandwidth.clone()),
        AccessLayer::new(p.access.clone()),
        AcceptRateLayer::new(p.accept_rate.clone()),
        InFlightLayer::new(p.in_flight.clone()),
        PerClientLayer::new(p.per_client.clone()),
        PerClientRateLayer::new(p.per_client_rate.clone()),
    ];
    all_serve(&p, false, stacks.into_iter().flatten()).await;
    for is_there in [true, false] {
        let stack = option_layer(is_there.then(|| p.tls.clone())).layer(handle(echo));
        all_serve(&p, is_there, [("tls", shared(stack))]).await;

        let layer = option_layer(is_there.then(|| p.proxy_protocol.clone()));
        let (server, clients) = memory();
        let _server = server.layer(layer).start(handle(echo)).await.unwrap();
        let mut stream = clients.connect_from(proxy()).await.unwrap();
        if is_there {
            stream.write_all(&header(client())).await.unwrap();
        }
        assert!(echoes(&mut stream, "hello").await);
    }
}
