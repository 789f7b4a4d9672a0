//! Where the streams of an HTTP/2 connection run: with the connection, and never longer.

use super::{
    activity::Activity,
    stall::{Stall, StallLimits},
};
use crate::time::DeadlineTimer;
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

/// The executor of an HTTP/2 connection; in [`HttpLayer::http2`](super::HttpLayer::http2) it is part of the
/// builder's type, and nothing can be done with it.
#[derive(Clone)]
pub struct StreamExecutor(Arc<Mutex<Shared>>);

struct Shared {
    place: Place,
    /// What the stream does that hyper has called the service for and is about to execute.
    begun: Option<Arc<Activity>>,
    limits: StallLimits,
}

enum Place {
    /// They wait here to be polled by the connection.
    Here(Vec<Task>),
    Runtime(JoinSet<()>),
}

impl StreamExecutor {
    /// What the stream does that the next task is for.
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
            // What an upgraded stream leaves behind.
            return shared.place.execute(task);
        };
        let limits = shared.limits;
        shared.place.execute(StreamTask {
            task,
            activity,
            limits,
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
    /// A stream. It ends when its client keeps it waiting for too long; since nobody has it then, h2 resets it.
    struct StreamTask<F> {
        #[pin]
        task: F,
        activity: Arc<Activity>,
        limits: StallLimits,
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
        Poll::Ready(())
    }
}

impl fmt::Debug for StreamExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamExecutor")
    }
}

/// All streams of one connection. They go with it, whoever holds an executor.
pub(super) struct Streams {
    executor: StreamExecutor,
    polled: FuturesUnordered<Task>,
    /// What the first to panic said.
    panic: Option<Box<dyn Any + Send>>,
}

impl Streams {
    pub(super) fn new(in_parallel: bool, limits: StallLimits) -> Self {
        let place = match in_parallel {
            true => Place::Runtime(JoinSet::new()),
            false => Place::Here(Vec::new()),
        };
        Streams {
            executor: StreamExecutor(Arc::new(Mutex::new(Shared {
                place,
                begun: None,
                limits,
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

    /// Lets them go on. Says whether one panicked; the others do not suffer for it.
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

    /// A stream that was upgraded leaves a task behind.
    fn has_new(&self) -> bool {
        matches!(&self.executor.shared().place, Place::Here(new) if !new.is_empty())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Each holds the executor, which holds them.
        let empty = Place::Here(Vec::new());
        let place = mem::replace(&mut self.executor.shared().place, empty);
        drop(place);
    }
}
