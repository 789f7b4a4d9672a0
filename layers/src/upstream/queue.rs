//! Clients that wait for room at an upstream.

use super::{
    key::Key,
    set::{NoUpstream, Taken},
};
use std::{
    collections::VecDeque,
    task::{Poll, Waker},
};

#[derive(Debug)]
pub(super) struct Waiter<T> {
    number: u64,
    pub(super) key: Key,
    pub(super) tried: Vec<u64>,
    pub(super) waker: Option<Waker>,
    pub(super) answer: Option<Result<Taken<T>, NoUpstream>>,
}

/// The clients that wait, in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiters: VecDeque<Waiter<T>>,
    next_number: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            waiters: VecDeque::new(),
            next_number: 0,
        }
    }
}

impl<T> Queue<T> {
    /// Returns the number of clients that wait.
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiters.iter();
        waiting.filter(|waiter| waiter.answer.is_none()).count()
    }

    /// Adds a client, and returns its number.
    pub(super) fn push(&mut self, key: Key, tried: &[u64]) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiters.push_back(Waiter {
            number,
            key,
            tried: tried.to_vec(),
            waker: None,
            answer: None,
        });
        number
    }

    /// Returns those that still wait.
    pub(super) fn unanswered(&mut self) -> impl Iterator<Item = &mut Waiter<T>> {
        let waiters = self.waiters.iter_mut();
        waiters.filter(|waiter| waiter.answer.is_none())
    }

    /// Returns the answer, and forgets the client. Without an answer, `waker` is woken for it.
    pub(super) fn poll(
        &mut self,
        number: u64,
        waker: &Waker,
    ) -> Poll<Result<Taken<T>, NoUpstream>> {
        let Some(index) = self.index(number) else {
            return Poll::Ready(Err(NoUpstream));
        };
        match self.waiters[index].answer.take() {
            Some(answer) => {
                self.waiters.remove(index);
                Poll::Ready(answer)
            }
            None => {
                self.waiters[index].waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Forgets a client that has left, and returns the place that it was given meanwhile.
    pub(super) fn forget(&mut self, number: u64) -> Option<Taken<T>> {
        let waiter = self.waiters.remove(self.index(number)?)?;
        waiter.answer?.ok()
    }

    fn index(&self, number: u64) -> Option<usize> {
        let found = self
            .waiters
            .binary_search_by_key(&number, |waiter| waiter.number);
        found.ok()
    }
}
