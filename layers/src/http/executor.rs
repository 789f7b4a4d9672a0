//! The executor of the streams of an HTTP/2 connection. They run with the connection, and never
//! longer.

use super::{
    activity::{Activity, Stalled},
    kind,
    stall::{Stall, StallLimits},
};
use crate::{dry_run::Trial, time::DeadlineTimer};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use std::{
    any::Any,
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::task::JoinSet;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The executor of the streams of an HTTP/2 connection.
///
/// It is a part of the type of the builder in [`HttpLayer::http2`](super::HttpLayer::http2), and
/// offers no methods.
#[derive(Clone)]
pub struct StreamExecutor(Arc<Mutex<Shared>>);

struct Shared {
    place: Place,
    /// The activity of the stream for which hyper has called the service, and which it is about to
    /// execute.
    begun: Option<Arc<Activity>>,
    limits: StallLimits,
    trial: Option<Trial>,
}

enum Place {
    /// New tasks, until the connection takes them to poll them.
    Here(Vec<Task>),
    Runtime(JoinSet<()>),
}

impl StreamExecutor {
    /// Begins the activity of the stream that the next task belongs to.
    pub(super) fn begin(&self) -> Arc<Activity> {
        self.shared().begun.insert(Arc::default()).clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, task: F) {
        let mut shared = self.shared();
        let Some(activity) = shared.begun.take() else {
            // A task that an upgraded stream leaves behind.
            return shared.place.execute(task);
        };
        let (limits, trial) = (shared.limits, shared.trial.clone());
        shared.place.execute(StreamTask {
            task,
            activity,
            limits,
            trial,
            stall: Stall::default(),
            timer: DeadlineTimer::new(),
        });
    }
}

impl Place {
    fn execute(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Place::Here(new) => new.push(Box::pin(task)),
            Place::Runtime(tasks) => drop(tasks.spawn(task)),
        }
    }
}

pin_project! {
    /// The task of a stream. It ends when the client keeps it waiting for too long. h2 then resets
    /// the stream, since nobody holds it any more.
    struct StreamTask<F> {
        #[pin]
        task: F,
        activity: Arc<Activity>,
        limits: StallLimits,
        trial: Option<Trial>,
        stall: Stall,
        #[pin]
        timer: DeadlineTimer,
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.task.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(ends) = this.stall.ends(this.activity, this.limits) else {
            return Poll::Pending;
        };
        ready!(this.timer.poll(cx, ends));
        let kind = match this.activity.stalled() {
            Some(Stalled::Conversation) => kind::UPGRADED_IDLE,
            _ => kind::STREAM_IDLE,
        };
        if this.trial.as_ref().is_some_and(|it| it.spares(kind)) {
            *this.limits = StallLimits::NONE;
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for StreamExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamExecutor")
    }
}

/// All streams of a connection. They are dropped with it, even if an executor is still held
/// elsewhere.
pub(super) struct Streams {
    executor: StreamExecutor,
    polled: FuturesUnordered<Task>,
    /// The panic of the first stream that panicked.
    panic: Option<Box<dyn Any + Send>>,
}

impl Streams {
    pub(super) fn new(in_parallel: bool, limits: StallLimits, trial: Option<Trial>) -> Self {
        let place = match in_parallel {
            true => Place::Runtime(JoinSet::new()),
            false => Place::Here(Vec::new()),
        };
        Streams {
            executor: StreamExecutor(Arc::new(Mutex::new(Shared {
                place,
                begun: None,
                limits,
                trial,
            }))),
            polled: FuturesUnordered::new(),
            panic: None,
        }
    }

    pub(super) fn executor(&self) -> StreamExecutor {
        self.executor.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.polled.is_empty()
            && match &self.executor.shared().place {
                Place::Here(new) => new.is_empty(),
                Place::Runtime(tasks) => tasks.is_empty(),
            }
    }

    pub(super) fn take_panic(&mut self) -> Option<Box<dyn Any + Send>> {
        self.panic.take()
    }

    /// Polls the streams. Returns whether one panicked, which does not affect the others.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut panicked = false;
        loop {
            let mut shared = self.executor.shared();
            match &mut shared.place {
                Place::Here(new) => {
                    let new = mem::take(new);
                    drop(shared);
                    self.polled.extend(new);
                    let polled = &mut self.polled;
                    match catch_unwind(AssertUnwindSafe(|| polled.poll_next_unpin(cx))) {
                        Ok(Poll::Ready(Some(()))) => {}
                        Ok(Poll::Ready(None) | Poll::Pending) if self.has_new() => {}
                        Ok(Poll::Ready(None) | Poll::Pending) => return panicked,
                        Err(panic) => {
                            panicked = true;
                            self.panic.get_or_insert(panic);
                        }
                    }
                }
                Place::Runtime(tasks) => match tasks.poll_join_next(cx) {
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(None) | Poll::Pending => return panicked,
                    Poll::Ready(Some(Err(error))) => {
                        if let Ok(panic) = error.try_into_panic() {
                            panicked = true;
                            self.panic.get_or_insert(panic);
                        }
                    }
                },
            }
        }
    }

    /// Returns whether there are new tasks: an upgraded stream leaves one behind.
    fn has_new(&self) -> bool {
        matches!(&self.executor.shared().place, Place::Here(new) if !new.is_empty())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Breaks the cycle: each task holds the executor, which holds the tasks.
        let empty = Place::Here(Vec::new());
        let place = mem::replace(&mut self.executor.shared().place, empty);
        drop(place);
    }
}
