//! What a connection has used of its quota.

use super::{Quota, limits::Way};
use pin_project_lite::pin_project;
use reagent::{BoxError, Rejected};
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

const REASONS: [&str; 3] = ["read quota", "write quota", "total quota"];

/// Shared by the stream, which counts, and the handler's future, which ends.
#[derive(Debug)]
pub(super) struct Spent {
    quota: Quota,
    bytes: [AtomicU64; 2],
    /// Which of `REASONS` it was, counted from 1.
    over: AtomicU8,
}

impl Spent {
    pub(super) fn new(quota: Quota) -> Self {
        Spent {
            quota,
            bytes: Default::default(),
            over: AtomicU8::new(0),
        }
    }

    fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.bytes[way].load(Relaxed))
    }

    pub(super) fn left(&self, way: Way) -> u64 {
        let [read, written] = self.bytes();
        let of_total = self
            .quota
            .total
            .saturating_sub(read.saturating_add(written));
        let of_way = self.quota.ways[way as usize].saturating_sub([read, written][way as usize]);
        of_total.min(of_way)
    }

    /// Only the one who reads counts what is read, and likewise with writes.
    pub(super) fn add(&self, way: Way, bytes: u64) {
        let counter = &self.bytes[way as usize];
        counter.store(counter.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    /// Ends the connection, and says so to whoever wants more.
    pub(super) fn exceed(&self, way: Way) -> io::Error {
        let is_way = self.bytes()[way as usize] >= self.quota.ways[way as usize];
        let reason = if is_way { way as u8 } else { 2 };
        let _ = self.over.compare_exchange(0, reason + 1, Relaxed, Relaxed);
        io::Error::new(
            io::ErrorKind::QuotaExceeded,
            Rejected::new(REASONS[usize::from(reason)]),
        )
    }

    fn over(&self) -> Option<Rejected> {
        match self.over.load(Relaxed) {
            0 => None,
            over => Some(Rejected::new(REASONS[usize::from(over) - 1])),
        }
    }
}

pin_project! {
    /// The future of a [`Bandwidth`](super::Bandwidth).
    pub struct BandwidthFuture<F> {
        #[pin]
        inner: F,
        spent: Option<Arc<Spent>>,
    }
}

impl<F> BandwidthFuture<F> {
    pub(super) fn new(inner: F, spent: Option<Arc<Spent>>) -> Self {
        BandwidthFuture { inner, spent }
    }
}

impl<F, T, E> Future for BandwidthFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.inner.poll(cx);
        // Whatever the handler makes of the error, a connection over its quota has ended by that.
        if let Some(over) = this.spent.as_ref().and_then(|spent| spent.over()) {
            return Poll::Ready(Err(over.into()));
        }
        polled.map_err(Into::into)
    }
}

impl<F> fmt::Debug for BandwidthFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BandwidthFuture")
    }
}
