//! The body of a request.

use super::activity::Activity;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The body of a request, as the service inside of an [`HttpLayer`](super::HttpLayer) gets it.
///
/// It yields the same frames as [`hyper::body::Incoming`], and also tells the layer whether the
/// service waits for it, for [`stream_idle_timeout`](super::HttpLayer::stream_idle_timeout).
pub struct RequestBody {
    /// `Some` until it is dropped.
    inner: Option<Incoming>,
    /// `Some` until the end of the body.
    activity: Option<Arc<Activity>>,
}

impl RequestBody {
    /// Creates a body. With `keeps_dropped`, the request gets it back if it is dropped before its
    /// end.
    pub(super) fn new(inner: Incoming, activity: &Arc<Activity>, keeps_dropped: bool) -> Self {
        let activity = (!inner.is_end_stream()).then(|| {
            activity.begin_body(keeps_dropped);
            activity.clone()
        });
        RequestBody {
            inner: Some(inner),
            activity,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *inner).poll_frame(cx);
        let is_open = !inner.is_end_stream();
        if let Some(activity) = &self.activity {
            match &polled {
                Poll::Pending => activity.await_body(),
                Poll::Ready(Some(Ok(_))) if is_open => activity.move_body(),
                Poll::Ready(Some(Err(_))) => {
                    activity.drop_body(None);
                    self.activity = None;
                }
                Poll::Ready(_) => {
                    activity.end_body();
                    self.activity = None;
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(activity) = self.activity.take() {
            activity.drop_body(self.inner.take());
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_end_stream", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}
