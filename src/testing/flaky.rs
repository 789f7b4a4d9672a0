//! A listener that fails on script.

use crate::{Accepted, Addr, Listener, sync::Mutex};
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
    acceptors: Vec<Waker>,
}

impl FlakyListener {
    /// A listener that is `inner` but for what its script says.
    pub fn new(inner: impl Listener) -> (FlakyListener, Script) {
        let script = Script::default();
        (
            FlakyListener {
                inner: Box::new(inner),
                script: script.clone(),
            },
            script,
        )
    }

    fn with(&self, inner: Box<dyn Listener>) -> Box<dyn Listener> {
        Box::new(FlakyListener {
            inner,
            script: self.script.clone(),
        })
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
        let acceptors = std::mem::take(&mut state.acceptors);
        drop(state);
        acceptors.into_iter().for_each(Waker::wake);
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
        state.acceptors.push(cx.waker().clone());
        drop(state);
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

    fn pending(&mut self) -> Option<bool> {
        match self.script.remaining() {
            0 => self.inner.pending(),
            _ => Some(true),
        }
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(self.with(self.inner.try_clone()?))
    }

    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        Some(self.inner.try_another()?.map(|another| self.with(another)))
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
        Some(reopened.map(|inner| self.with(inner)))
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
