//! The service that answers health checks.

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use reagent::{ServerHandle, ServerStatus};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tower_service::Service;

/// An HTTP service that answers [health checks](super) on behalf of one or more servers.
///
/// Its clones share the list of servers, so that it can be started before them, or be part of a
/// service that one of them serves.
#[derive(Clone, Debug, Default)]
pub struct Health {
    servers: Arc<RwLock<Vec<ServerHandle>>>,
    is_handed_over: Arc<AtomicBool>,
}

impl Health {
    /// Creates a service without servers, which is not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server. All servers must be ready for this service to report that it is ready.
    pub fn add(&self, server: &ServerHandle) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.push(server.clone());
    }

    /// Removes a server that is stopped on purpose while the process goes on.
    pub fn remove(&self, server: &ServerHandle) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|known| known != server);
    }

    /// Reports ready and live from now on. Call it when a successor
    /// [has taken over](reagent::Observer::handed_over): the service is well, although the server
    /// of this process drains and stops.
    pub fn handed_over(&self) {
        self.is_handed_over.store(true, Relaxed);
    }

    fn servers(&self) -> RwLockReadGuard<'_, Vec<ServerHandle>> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> (StatusCode, String) {
        let servers = self.servers();
        let reason = match servers.is_empty() {
            _ if self.is_handed_over.load(Relaxed) => None,
            true => Some("not started".into()),
            false => servers
                .iter()
                .find_map(|server| server.readiness().reason()),
        };
        match reason {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(reason) => {
                // Control characters would make more than one line of it.
                let reason = reason.replace(char::is_control, " ");
                let body = format!("not ready: {reason}\n");
                (StatusCode::SERVICE_UNAVAILABLE, body)
            }
        }
    }

    fn live(&self) -> (StatusCode, String) {
        let servers = self.servers();
        let has_stopped = |server: &ServerHandle| server.status() == ServerStatus::Stopped;
        let is_replaced = self.is_handed_over.load(Relaxed);
        match !is_replaced && servers.iter().any(has_stopped) {
            true => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n".to_owned()),
            false => (StatusCode::OK, "live\n".to_owned()),
        }
    }
}

impl<B> Service<Request<B>> for Health {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, body) = match request.uri().path() {
            "/ready" | "/live" if !is_read => {
                let body = "method not allowed\n".to_owned();
                (StatusCode::METHOD_NOT_ALLOWED, body)
            }
            "/ready" => self.ready(),
            "/live" => self.live(),
            _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
        };
        let length = body.len();
        let mut response = Response::new(match *request.method() {
            Method::HEAD => String::new(),
            _ => body,
        });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        ready(Ok(response))
    }
}
