//! A tower service in the form that hyper wants.

use super::{
    HttpConnection, RequestBody, StreamExecutor,
    activity::{Activity, Busy},
    answer::Answer,
    host,
};
use http::{
    Extensions, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, EXPECT, TRANSFER_ENCODING, UPGRADE},
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

/// The number of bytes of a dropped body that are read, if they are there already, so that the
/// connection can be kept. One read of hyper may have brought as many.
const REST: u64 = 64 * 1024;

/// The service of one connection. Each request gets a clone of the inner service and the extensions
/// of the connection.
pub(super) struct ConnService<S> {
    pub(super) service: S,
    pub(super) connection: HttpConnection,
    /// The extensions of each request, including the connection; empty if there is only the
    /// connection.
    pub(super) extensions: Extensions,
    pub(super) activity: Arc<Activity>,
    /// The executor of the streams (HTTP/2).
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
        match self.extensions.is_empty() {
            true => drop(request.extensions_mut().insert(self.connection.clone())),
            false => request.extensions_mut().extend(self.extensions.clone()),
        }
        let is_http1 = self.streams.is_none();
        let busy = Busy::new(match &self.streams {
            None => self.activity.clone(),
            Some(streams) => streams.begin(),
        });
        let is_connect = request.method() == Method::CONNECT;
        let is_refused = host::is_refused(&request);
        if is_http1
            && (is_connect
                || request.version() < Version::HTTP_11
                || request.headers().contains_key(UPGRADE))
        {
            // Its answer, or what follows it, may end with the stream alone.
            self.connection.handle().set_open_ended();
        }
        let may_have_body = is_http1 && !request.body().is_end_stream();
        let headers = request.headers();
        // If there was a `Content-Length` too, which hyper drops unseen, a proxy in between may
        // have seen another end of the request than hyper. So what follows is not read (RFC 9112,
        // section 6.1).
        let is_chunked = may_have_body && headers.contains_key(TRANSFER_ENCODING);
        // A client that waits for `100 Continue` should not get one for a body that is not wanted.
        let keeps_dropped = may_have_body && !is_chunked && !headers.contains_key(EXPECT);
        let is_last =
            is_chunked || is_http1 && (is_refused || self.connection.handle().is_draining());
        let request = request.map(|body| RequestBody::new(body, busy.activity(), keeps_dropped));
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
            busy: Some(busy),
        }
    }
}

pin_project! {
    /// Waits until the service is ready, and calls it.
    pub(super) struct RequestFuture<S, F, B> {
        #[pin]
        state: State<S, F, B>,
        is_last: bool,
        is_http1: bool,
        is_connect: bool,
        // `Some` until the answer takes it.
        busy: Option<Busy>,
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
        // The service has dropped its body unread.
        Discarding {
            response: Option<Response<Option<B>>>,
            rest: Rest,
        },
    }
}

impl<S, B> State<S, S::Future, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        activity: &Activity,
    ) -> Poll<Result<Response<Option<B>>, S::Error>> {
        loop {
            let response = match self.as_mut().project() {
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
                    self.set(State::Called { future });
                    continue;
                }
                StateProj::Called { future } => ready!(future.poll(cx))?.map(Some),
                StateProj::Discarding { response, rest } => {
                    if ready!(rest.poll(cx)) {
                        activity.read_rest();
                    }
                    let Some(response) = response.take() else {
                        unreachable!("taken once, and then it is over");
                    };
                    return Poll::Ready(Ok(response));
                }
            };
            let Some(body) = activity.take_dropped() else {
                return Poll::Ready(Ok(response));
            };
            self.set(State::Discarding {
                response: Some(response),
                rest: Rest::new(body),
            });
        }
    }
}

impl<S, B> Future for RequestFuture<S, S::Future, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<Answer<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(busy) = this.busy.take() else {
            unreachable!("taken by the answer, and then it is over");
        };
        let activity = busy.activity();
        let polled = this.state.poll(cx, activity);
        let Poll::Ready(Ok(mut response)) = polled else {
            // A request whose service fails is not over: its error ends the connection.
            *this.busy = Some(busy);
            return polled.map_ok(|_| unreachable!("a response was matched"));
        };
        if !*this.is_http1 {
            activity.answer();
            let is_cut = true;
            return Poll::Ready(Ok(response.map(|body| Answer::new(body, busy, is_cut))));
        }
        // The version is that of this server (RFC 9110, section 2.5), not that of a server from which
        // the service has the response; hyper lowers it for a client of HTTP/1.0. With HTTP/1.0, a
        // body without a length would end only with the stream.
        *response.version_mut() = Version::HTTP_11;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            || *this.is_connect && response.status().is_success()
        {
            activity.upgrade();
        } else if *this.is_last || activity.is_dropped() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| Answer::new(body, busy, false))))
    }
}

/// The rest of a body that the service does not want.
struct Rest {
    body: Incoming,
    left: u64,
    /// Whether hyper has had a chance to read since the last piece.
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

    /// Reads what is there. Returns whether that was all.
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
                    // hyper reads before it polls this again.
                    self.has_waited = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}
