//! The future of a response.

use super::response::AdminResponse;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of an [`Admin`](super::Admin).
pub struct AdminFuture(pub(super) Pin<Box<dyn Future<Output = AdminResponse> + Send>>);

impl Future for AdminFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.0.as_mut().poll(cx);
        polled.map(|response| Ok(response.map(Full::new)))
    }
}

impl fmt::Debug for AdminFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminFuture")
    }
}
