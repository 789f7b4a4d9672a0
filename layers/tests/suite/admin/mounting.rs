//! The places where the service can be mounted.

use super::{AnswerExt, Watched, send};
use crate::http::{H2, Raw, in_time};
use axum::Router;
use reagent::{
    Server, ServerHandle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{admin::Admin, http::HttpLayer};
use std::{net::SocketAddr, time::Duration};
use tokio::{io::DuplexStream, net::TcpStream};

async fn connect(clients: &Clients) -> DuplexStream {
    let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
    in_time(clients.connect_from(local)).await.unwrap()
}

async fn get(clients: &Clients, path: &str) -> crate::http::Answer {
    let mut browser = Raw(connect(clients).await);
    send(&mut browser, "GET", path, "host: localhost\r\n", "").await
}

async fn serve_itself(admin: &Admin) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).layer(HttpLayer::new());
    (server.start(admin.clone()).await.unwrap(), clients)
}

#[tokio::test]
async fn it_is_served_by_the_server_that_it_shows() {
    let admin = Admin::new();
    let (server, clients) = serve_itself(&admin).await;
    // Until it is attached, it knows of no server.
    get(&clients, "/stats").await.error(503);
    assert_eq!(
        get(&clients, "/ready").await.json(503)["status"],
        "starting"
    );
    assert_eq!(get(&clients, "/live").await.status, 200);
    assert_eq!(get(&clients, "/").await.status, 200);
    admin.attach(&server);
    assert_eq!(
        get(&clients, "/connections").await.json(200)[0]["client"],
        "127.0.0.1:1"
    );
    // The handle inside the server does not keep it from ending.
    server.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn the_listener_of_a_request_is_neither_paused_nor_closed() {
    let admin = Admin::new();
    let server = Server::bind(["127.0.0.1:0", "127.0.0.1:0"]).layer(HttpLayer::new());
    let server = server.start(admin.clone()).await.unwrap();
    admin.attach(&server);
    let addrs: Vec<_> = server.local_addrs().map(|addr| addr.to_string()).collect();
    let act = async |of: &str, verb: &str| {
        let mut browser = Raw(TcpStream::connect(&addrs[0]).await.unwrap());
        let path = format!("/listeners/{of}/{verb}");
        let headers = "host: localhost\r\nx-reagent-admin: 1\r\n";
        send(&mut browser, "POST", &path, headers, "").await
    };
    for verb in ["pause", "close"] {
        let error = act(&addrs[0], verb).await.error(409);
        assert!(error.contains("came in by the same listener"), "{error}");
    }
    act(&addrs[0], "resume").await.json(200);
    for verb in ["pause", "resume", "close"] {
        act(&addrs[1], verb).await.json(200);
    }
    assert_eq!(server.local_addrs().count(), 1);
}

#[tokio::test]
async fn only_the_first_server_is_attached() {
    let admin = Admin::new();
    let (server, clients) = serve_itself(&admin).await;
    let other = Watched::new().await;
    admin.attach(&server);
    admin.attach(&other.server);
    let listeners = get(&clients, "/listeners").await.json(200);
    assert_eq!(listeners[0]["addr"], server.local_addr().to_string());
}

#[tokio::test]
async fn it_is_mounted_in_a_router_below_a_path() {
    let admin = Admin::new();
    let router = Router::new().nest_service("/admin/", admin.clone());
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).layer(HttpLayer::new());
    let server = server.start(router).await.unwrap();
    admin.attach(&server);
    let page = get(&clients, "/admin/").await;
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.head);
    assert_eq!(get(&clients, "/admin/admin.js").await.status, 200);
    assert_eq!(
        get(&clients, "/admin/stats").await.json(200)["status"],
        "running"
    );
    assert_eq!(get(&clients, "/stats").await.status, 404);
}

#[tokio::test]
async fn it_is_served_over_http2() {
    let watched = Watched::new().await;
    let mut h2 = H2::new(connect(&watched.browsers).await).await;
    for (host, status) in [("localhost:1", 200), ("evil.example", 421)] {
        let request = ::http::Request::get(format!("http://{host}/stats"))
            .body(())
            .unwrap();
        let (response, _) = h2.requests.send_request(request, true).unwrap();
        assert_eq!(
            crate::http::answer(response).await.unwrap().0,
            status,
            "{host}"
        );
    }
}
