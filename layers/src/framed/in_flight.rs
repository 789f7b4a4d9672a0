//! The requests being served, and their answers in order.

use futures_util::stream::{FuturesOrdered, Stream};
use pin_project_lite::pin_project;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The oldest request is stored inline, so that one at a time costs no allocation. Those that
    /// came while it was being served are boxed.
    pub(super) struct InFlight<F: Future> {
        #[pin]
        first: Option<F>,
        // The answers that are ready and younger than `first`.
        done: VecDeque<F::Output>,
        rest: Option<FuturesOrdered<F>>,
        len: usize,
    }
}

impl<F: Future> InFlight<F> {
    pub(super) fn new() -> Self {
        InFlight {
            first: None,
            done: VecDeque::new(),
            rest: None,
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(self: Pin<&mut Self>, future: F) {
        let mut this = self.project();
        *this.len += 1;
        if *this.len == 1 {
            this.first.set(Some(future));
        } else {
            this.rest
                .get_or_insert_with(FuturesOrdered::new)
                .push_back(future);
        }
    }

    /// Returns the answer of the oldest request once it is ready, or `None` if there are no
    /// requests. Polls all of them, so that the oldest holds up the answers of the others but not
    /// their work.
    #[inline]
    pub(super) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let mut this = self.project();
        if *this.len == 0 {
            return Poll::Ready(None);
        }
        if let Some(first) = this.first.as_mut().as_pin_mut() {
            let polled = first.poll(cx);
            if let Poll::Ready(output) = polled {
                this.first.set(None);
                *this.len -= 1;
                return Poll::Ready(Some(output));
            }
            if let Some(rest) = this.rest {
                while let Poll::Ready(Some(output)) = Pin::new(&mut *rest).poll_next(cx) {
                    this.done.push_back(output);
                }
            }
            return Poll::Pending;
        }
        let output = match (this.done.pop_front(), this.rest) {
            (Some(output), _) => Some(output),
            (None, Some(rest)) => ready!(Pin::new(rest).poll_next(cx)),
            (None, None) => None,
        };
        *this.len -= 1;
        Poll::Ready(output)
    }
}
