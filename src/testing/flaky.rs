//! A listener that fails on script.

use super::wakers::Wakers;
use crate::{
    addr::Addr,
    listener::{Accepted, Listener},
    sync::Mutex,
};
use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker},
};

/// Another listener, with errors put in where a [`Script`] says so.
#[derive(Debug)]
pub struct FlakyListener {
    inner: Box<dyn Listener>,
    script: Script,
    /// Its number among the handles to the script.
    handle: u64,
}

/// What goes wrong at a [`FlakyListener`], and what was asked of it; cheap to clone.
#[derive(Clone, Default)]
pub struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    accept: VecDeque<io::Error>,
    reopen: VecDeque<io::Error>,
    cannot_reopen: bool,
    accepts: usize,
    reopens: usize,
    acceptors: Wakers,
}

impl FlakyListener {
    /// A listener that is `inner` but for what its script says.
    pub fn new(inner: impl Listener) -> (FlakyListener, Script) {
        let script = Script::default();
        (Self::with(&script, Box::new(inner)), script)
    }

    fn with(script: &Script, inner: Box<dyn Listener>) -> FlakyListener {
        let handle = script.state().acceptors.handle();
        FlakyListener {
            inner,
            script: script.clone(),
            handle,
        }
    }

    fn another(&self, inner: Box<dyn Listener>) -> Box<dyn Listener> {
        Box::new(Self::with(&self.script, inner))
    }
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The next accepts fail with these, one each, whether clients wait or not. An acceptor that lacks
    /// descriptors accepts a second time, to turn somebody away, and that counts.
    pub fn fail_accepts(&self, errors: impl IntoIterator<Item = io::Error>) {
        let mut state = self.state();
        state.accept.extend(errors);
        let acceptors = state.acceptors.take();
        drop(state);
        acceptors.for_each(Waker::wake);
    }

    /// The next attempts to reopen the listener fail with these, one each.
    pub fn fail_reopens(&self, errors: impl IntoIterator<Item = io::Error>) {
        self.state().reopen.extend(errors);
    }

    /// A lost listener is lost for good.
    pub fn never_reopen(&self) {
        self.state().cannot_reopen = true;
    }

    /// How often accepting was tried, with any result.
    pub fn accepts(&self) -> usize {
        self.state().accepts
    }

    /// How often reopening was tried, with any result.
    pub fn reopens(&self) -> usize {
        self.state().reopens
    }

    /// How many errors are still to come.
    pub fn remaining(&self) -> usize {
        self.state().accept.len()
    }
}

impl Listener for FlakyListener {
    fn local_addr(&self) -> Addr {
        self.inner.local_addr()
    }

    fn is_local_addr_fixed(&self) -> bool {
        self.inner.is_local_addr_fixed()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.script.state();
        if !state.accept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let old = state.acceptors.register(self.handle, cx.waker());
        drop(state);
        drop(old);
        self.inner.poll_ready(cx)
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        let mut state = self.script.state();
        state.accepts += 1;
        if let Some(error) = state.accept.pop_front() {
            return Err(error);
        }
        drop(state);
        self.inner.try_accept()
    }

    /// An error of the script stands for a client that waits.
    fn pending(&mut self) -> Option<bool> {
        match self.script.remaining() {
            0 => self.inner.pending(),
            _ => Some(true),
        }
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(self.another(self.inner.try_clone()?))
    }

    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        Some(
            self.inner
                .try_another()?
                .map(|another| self.another(another)),
        )
    }

    /// Where the inner listener cannot be reopened, a further handle to it stands for a new one.
    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        let mut state = self.script.state();
        if state.cannot_reopen {
            return None;
        }
        state.reopens += 1;
        if let Some(error) = state.reopen.pop_front() {
            return Some(Err(error));
        }
        drop(state);
        let reopened = self
            .inner
            .try_reopen()
            .unwrap_or_else(|| self.inner.try_clone());
        Some(reopened.map(|inner| self.another(inner)))
    }
}

impl Drop for FlakyListener {
    fn drop(&mut self) {
        let waker = self.script.state().acceptors.remove(self.handle);
        // Outside of the lock: it may be the last that holds a task.
        drop(waker);
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Script")
            .field("remaining", &state.accept.len())
            .field("accepts", &state.accepts)
            .field("reopens", &state.reopens)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryListener;
    use super::*;
    use std::{future::poll_fn, pin::pin, sync::atomic::AtomicUsize, task::Wake};

    /// No two of them wake the same.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn poll_ready(listener: &mut FlakyListener, waker: &Waker) -> bool {
        let ready = pin!(poll_fn(|cx| listener.poll_ready(cx)));
        let ready = std::future::Future::poll(ready, &mut Context::from_waker(waker));
        ready.is_ready()
    }

    #[test]
    fn it_keeps_one_waker_for_each_handle() {
        let (memory, _clients) = MemoryListener::new();
        let (mut listener, script) = FlakyListener::new(memory);
        let last = Arc::new(Count::default());
        for _ in 0..100 {
            let waker = Waker::from(Arc::new(Count::default()));
            assert!(!poll_ready(&mut listener, &waker));
            let mut other = FlakyListener::with(&script, listener.inner.try_clone().unwrap());
            assert!(!poll_ready(&mut other, &waker));
            assert_eq!(script.state().acceptors.len(), 2);
        }
        assert!(!poll_ready(&mut listener, &last.clone().into()));
        assert_eq!(script.state().acceptors.len(), 1);
        script.fail_accepts([io::ErrorKind::Other.into()]);
        assert_eq!(last.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert_eq!(script.state().acceptors.len(), 0);
    }

    #[test]
    fn an_error_of_the_script_is_pending_and_so_is_a_client() {
        let (memory, _clients) = MemoryListener::new();
        let (mut listener, script) = FlakyListener::new(memory);
        assert_eq!(listener.pending(), Some(false));
        script.fail_accepts([io::ErrorKind::Other.into()]);
        assert_eq!(listener.pending(), Some(true));
        assert!(listener.try_accept().is_err());
        assert_eq!(listener.pending(), Some(false));
    }
}
