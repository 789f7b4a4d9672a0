//! A listener with scripted failures.

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

/// A listener that wraps another one and fails when its [`Script`] says so.
#[derive(Debug)]
pub struct FlakyListener {
    inner: Box<dyn Listener>,
    script: Script,
    /// The number of this handle among those that share the script.
    handle: u64,
}

/// The failures of a [`FlakyListener`], and counts of the calls to it. It is cheap to clone.
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
    /// Creates a listener that behaves like `inner` except for the failures in its script.
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

    /// Makes the next accepts fail with these errors, one each, even if no client waits.
    ///
    /// An acceptor that lacks descriptors accepts a second time to turn a client away, and that
    /// attempt counts too.
    pub fn fail_accepts(&self, errors: impl IntoIterator<Item = io::Error>) {
        let mut state = self.state();
        state.accept.extend(errors);
        let acceptors = state.acceptors.take();
        drop(state);
        acceptors.for_each(Waker::wake);
    }

    /// Makes the next attempts to reopen the listener fail with these errors, one each.
    pub fn fail_reopens(&self, errors: impl IntoIterator<Item = io::Error>) {
        self.state().reopen.extend(errors);
    }

    /// Makes a lost listener impossible to reopen, so that it is lost for good.
    pub fn never_reopen(&self) {
        self.state().cannot_reopen = true;
    }

    /// Returns the number of attempts to accept, with any result.
    pub fn accepts(&self) -> usize {
        self.state().accepts
    }

    /// Returns the number of attempts to reopen the listener, with any result.
    pub fn reopens(&self) -> usize {
        self.state().reopens
    }

    /// Returns the number of scripted accept errors that are left.
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

    /// A scripted error counts as a client that waits.
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

    fn refuse_new(&self) -> std::time::Duration {
        self.inner.refuse_new()
    }

    /// If the inner listener cannot be reopened, another handle to it takes the place of a new one.
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
        // Dropped outside the lock, since it may be the last reference to a task.
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

    /// No two of these wake the same task.
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
