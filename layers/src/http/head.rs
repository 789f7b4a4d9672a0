//! When HTTP/1 waits for a request.
//!
//! hyper would say so by the timer it asks for if it had a time limit for heads, and then goes once more through its
//! loop for each request. So requests say when they begin and are over, and what has come in since is a head.

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use reagent::ConnectionHandle;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The requests of a connection: how many have begun, how many are answered, and whether the last had a body.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    answered: AtomicU64,
    has_body: AtomicBool,
}

/// Adds without a locked instruction: the connection's task is the only one to add.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// A request that is being served, until the last piece of its answer.
pub(super) struct Busy(Arc<Requests>);

impl Busy {
    pub(super) fn new(requests: &Arc<Requests>, has_body: bool) -> Self {
        add(&requests.begun);
        requests.has_body.store(has_body, Relaxed);
        Busy(requests.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        add(&self.0.answered);
    }
}

pin_project! {
    /// The body of an answer.
    pub(super) struct Answer<B> {
        #[pin]
        pub(super) body: B,
        pub(super) busy: Option<Busy>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) enum Wait {
    /// For nothing: a request is being served.
    None,
    /// For a request, since then, when so many bytes had been written.
    Request(Instant, u64),
    /// For the rest of a head, since then.
    Rest(Instant),
    /// Since then for the rest of a head or of a body that is read though its request was answered; hyper knows.
    Either(Instant),
}

/// What a connection waits for.
pub(super) struct Head {
    pub(super) requests: Arc<Requests>,
    handle: ConnectionHandle,
    /// How many requests were answered when a head was first waited for, and since when that is.
    answered: u64,
    since: Instant,
    /// How many bytes had come by then, and how many had gone: the answers before, but for what a client does not
    /// take.
    read: u64,
    written: u64,
    /// When a part of it was there.
    partial: Option<Instant>,
    /// hyper closes as soon as it can.
    pub(super) is_told: bool,
}

impl Head {
    /// Of a connection from which something has come at `began`.
    pub(super) fn new(requests: Arc<Requests>, handle: ConnectionHandle, began: Instant) -> Self {
        Head {
            requests,
            handle,
            answered: 0,
            since: began,
            read: 0,
            written: 0,
            partial: Some(began),
            is_told: false,
        }
    }

    fn is_busy(&self) -> bool {
        self.requests.begun.load(Relaxed) != self.requests.answered.load(Relaxed)
    }

    /// Looks at what hyper has done.
    pub(super) fn look(&mut self) {
        if self.is_busy() {
            return;
        }
        let (answered, read) = (
            self.requests.answered.load(Relaxed),
            self.handle.bytes_read(),
        );
        if answered != self.answered {
            self.answered = answered;
            self.since = Instant::now();
            self.read = read;
            self.written = self.handle.bytes_written();
            self.partial = None;
        } else if self.partial.is_none() && read != self.read {
            self.partial = Some(Instant::now());
        }
    }

    pub(super) fn wait(&self) -> Wait {
        // The body of a request may still be read by somebody who has answered it.
        let is_sure = !self.requests.has_body.load(Relaxed);
        match self.partial {
            _ if self.is_busy() => Wait::None,
            Some(since) if is_sure || self.answered == 0 => Wait::Rest(since),
            _ if self.is_told && !is_sure => Wait::None,
            Some(since) => Wait::Either(since),
            None => Wait::Request(self.since, self.written),
        }
    }
}
