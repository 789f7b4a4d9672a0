//! A service of HTTP requests without the layer that serves them.
//@ `Router` does not serve connections over `BoxIo`
//@ .layer(HttpLayer::new())

use reagent::Server;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tower::Service;

pub struct Request;

/// Serves requests, like an axum router.
#[derive(Clone)]
pub struct Router;

impl Service<Request> for Router {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        ready(Ok(()))
    }
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0").start(Router).await.unwrap();
    drop(server);
}

fn main() {}
