//! A tower service as hyper wants it.

use super::head::{self, Answer, Busy};
use http::{
    Extensions, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use reagent::ConnectionHandle;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The requests of one connection: each gets a clone of the service, and what is known of the connection.
pub(super) struct Requests<S> {
    pub(super) service: S,
    pub(super) extensions: Extensions,
    pub(super) handle: ConnectionHandle,
    pub(super) counted: Arc<head::Requests>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = RequestFuture<S, S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().extend(self.extensions.clone());
        // With a `Content-Length` beside it, a proxy in between may have read another end of the request than
        // hyper, which drops that header unseen; so what follows is not read (RFC 9112, 6.1).
        let is_http1 = request.version() < Version::HTTP_2;
        let is_last = is_http1
            && (request.headers().contains_key(TRANSFER_ENCODING) || self.handle.is_draining());
        let has_body = !request.body().is_end_stream();
        RequestFuture {
            state: State::Waiting {
                service: self.service.clone(),
                request: Some(request),
            },
            is_last,
            busy: is_http1.then(|| Busy::new(&self.counted, has_body)),
        }
    }
}

pin_project! {
    /// Waits until the service is ready, and calls it.
    pub(super) struct RequestFuture<S, F> {
        #[pin]
        state: State<S, F>,
        is_last: bool,
        busy: Option<Busy>,
    }
}

pin_project! {
    // ## Waiting => Called
    #[project = StateProj]
    enum State<S, F> {
        Waiting {
            service: S,
            request: Option<Request<Incoming>>,
        },
        Called {
            #[pin]
            future: F,
        },
    }
}

impl<S, B> Future for RequestFuture<S, S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Output = Result<Response<Answer<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let Some(request) = request.take() else {
                        unreachable!("taken once, and then the state is another");
                    };
                    let future = service.call(request);
                    this.state.set(State::Called { future });
                }
                StateProj::Called { future } => {
                    let mut response = ready!(future.poll(cx))?;
                    if *this.is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    let busy = this.busy.take();
                    return Poll::Ready(Ok(response.map(|body| Answer { body, busy })));
                }
            }
        }
    }
}
