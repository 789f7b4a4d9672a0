//! A tower service as hyper wants it.

use super::{
    HttpConnection, RequestBody, StreamExecutor,
    activity::{Activity, Busy},
    answer::{Answer, Pieces},
    host,
};
use http::{
    Extensions, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, EXPECT, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Of a body that its service has dropped, up to this many bytes are read, if they are there already, so that the
/// connection can be kept. As many as one read of hyper's may have brought.
const REST: u64 = 64 * 1024;

/// The service of one connection: each request gets a clone of the service, and what is known of the connection.
pub(super) struct ConnService<S> {
    pub(super) service: S,
    pub(super) connection: HttpConnection,
    /// What else each request carries.
    pub(super) extensions: Extensions,
    pub(super) activity: Arc<Activity>,
    /// With HTTP/2.
    pub(super) streams: Option<StreamExecutor>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for ConnService<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    B: Body,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = RequestFuture<S, S::Future, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.connection.clone());
        if !self.extensions.is_empty() {
            request.extensions_mut().extend(self.extensions.clone());
        }
        let is_http1 = self.streams.is_none();
        let activity = match &self.streams {
            None => self.activity.clone(),
            Some(streams) => streams.begin(),
        };
        activity.begin();
        let is_connect = request.method() == Method::CONNECT;
        let is_refused = host::is_refused(&request);
        let headers = request.headers();
        // With a `Content-Length` beside it, a proxy in between may have read another end of the request than
        // hyper, which drops that header unseen; so what follows is not read (RFC 9112, 6.1).
        let is_chunked = is_http1 && headers.contains_key(TRANSFER_ENCODING);
        // A client that waits for `100 Continue` is not to get one for a body that nobody wants.
        let keeps_dropped = is_http1 && !is_chunked && !headers.contains_key(EXPECT);
        let is_last =
            is_chunked || is_http1 && (is_refused || self.connection.handle().is_draining());
        let busy = is_http1.then(|| Busy::new(&activity));
        let request = request.map(|body| RequestBody::new(body, &activity, keeps_dropped));
        RequestFuture {
            state: match is_refused {
                true => State::Refused {
                    request: Some(request),
                },
                false => State::Waiting {
                    service: self.service.clone(),
                    request: Some(request),
                },
            },
            is_last,
            is_http1,
            is_connect,
            busy,
            activity,
        }
    }
}

pin_project! {
    /// Waits until the service is ready, and calls it.
    pub(super) struct RequestFuture<S, F, B: Body> {
        #[pin]
        state: State<S, F, B>,
        is_last: bool,
        is_http1: bool,
        is_connect: bool,
        busy: Option<Busy>,
        activity: Arc<Activity>,
    }
}

pin_project! {
    // ## (Refused | Waiting => Called) => Discarding
    #[project = StateProj]
    enum State<S, F, B> {
        Refused {
            request: Option<Request<RequestBody>>,
        },
        Waiting {
            service: S,
            request: Option<Request<RequestBody>>,
        },
        Called {
            #[pin]
            future: F,
        },
        // The service has not read its body.
        Discarding {
            response: Option<Response<Option<B>>>,
            rest: Rest,
        },
    }
}

impl<S, B> Future for RequestFuture<S, S::Future, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<Answer<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            let response = match this.state.as_mut().project() {
                StateProj::Refused { request } => {
                    drop(request.take());
                    let mut response = Response::new(None);
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    response
                }
                StateProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let Some(request) = request.take() else {
                        unreachable!("taken once, and then the state is another");
                    };
                    let future = service.call(request);
                    this.state.set(State::Called { future });
                    continue;
                }
                StateProj::Called { future } => ready!(future.poll(cx))?.map(Some),
                StateProj::Discarding { response, rest } => {
                    if ready!(rest.poll(cx)) {
                        this.activity.read_rest();
                    }
                    let Some(response) = response.take() else {
                        unreachable!("taken once, and then it is over");
                    };
                    break response;
                }
            };
            let Some(body) = this.activity.take_dropped() else {
                break response;
            };
            this.state.set(State::Discarding {
                response: Some(response),
                rest: Rest::new(body),
            });
        };
        let activity = this.activity;
        let pieces = if *this.is_http1 {
            let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS
                || *this.is_connect && response.status().is_success();
            if is_upgrade {
                activity.upgrade();
            } else if *this.is_last || activity.is_dropped() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            None
        } else {
            activity.answer();
            Some(Pieces::new(activity.clone()))
        };
        let busy = this.busy.take();
        Poll::Ready(Ok(response.map(|body| Answer::new(body, busy, pieces))))
    }
}

/// The rest of a body that nobody wants.
struct Rest {
    body: Incoming,
    left: u64,
    /// Whether hyper has had an occasion to read since the last piece.
    has_waited: bool,
}

impl Rest {
    fn new(body: Incoming) -> Self {
        Rest {
            body,
            left: REST,
            has_waited: false,
        }
    }

    /// Reads what is there; whether that was all.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.body.is_end_stream() {
                return Poll::Ready(true);
            }
            if self.body.size_hint().lower() > self.left {
                return Poll::Ready(false);
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let read = frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.left = self.left.saturating_sub(read);
                    self.has_waited = false;
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending if self.has_waited => return Poll::Ready(false),
                Poll::Pending => {
                    // hyper reads before it polls this the next time.
                    self.has_waited = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}
