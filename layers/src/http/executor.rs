//! Where the streams of an HTTP/2 connection run: with the connection, and never longer.

use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use std::{
    any::Any,
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::task::JoinSet;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The executor of an HTTP/2 connection; in [`HttpLayer::http2`](super::HttpLayer::http2) it is part of the
/// builder's type, and nothing can be done with it.
#[derive(Clone)]
pub struct StreamExecutor(Arc<Mutex<Place>>);

enum Place {
    /// They wait here to be polled by the connection.
    Here(Vec<Task>),
    Runtime(JoinSet<()>),
}

impl StreamExecutor {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, task: F) {
        match &mut *self.place() {
            Place::Here(new) => new.push(Box::pin(task)),
            Place::Runtime(tasks) => drop(tasks.spawn(task)),
        }
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
    pub(super) fn new(in_parallel: bool) -> Self {
        let place = match in_parallel {
            true => Place::Runtime(JoinSet::new()),
            false => Place::Here(Vec::new()),
        };
        Streams {
            executor: StreamExecutor(Arc::new(Mutex::new(place))),
            polled: FuturesUnordered::new(),
            panic: None,
        }
    }

    pub(super) fn executor(&self) -> StreamExecutor {
        self.executor.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.polled.is_empty()
            && match &*self.executor.place() {
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
            let mut place = self.executor.place();
            match &mut *place {
                Place::Here(new) => {
                    let new = mem::take(new);
                    drop(place);
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
        matches!(&*self.executor.place(), Place::Here(new) if !new.is_empty())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Each holds the executor, which holds them.
        let place = mem::replace(&mut *self.executor.place(), Place::Here(Vec::new()));
        drop(place);
    }
}
