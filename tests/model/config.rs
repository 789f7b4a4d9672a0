//! The configurations of the servers in the model.

use crate::dice::Dice;

/// A server under test, and optionally a second one that shares its limit.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub start: StartBy,
    pub limit: LimitBy,
    pub stack: Stack,
    pub addresses: usize,
    pub acceptors: usize,
    /// Makes `pending` of a listener in memory unknown, as for a socket.
    pub is_like_socket: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartBy {
    /// `Server::start`: one stack, cloned.
    Clone,
    /// `Server::start_make`: a stack for each acceptor.
    Make,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    Nothing,
    MaxConnections(usize),
    /// A `Limit` shared with a second server.
    Shared(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Plain,
    Concurrency(usize),
    GlobalConcurrency(usize),
    /// `LoadShed` around a `ConcurrencyLimit`.
    LoadShed(usize),
}

impl Config {
    pub fn of(dice: &mut Dice) -> Self {
        let size = 1 + dice.roll(3);
        Config {
            start: dice.pick(&[StartBy::Clone, StartBy::Make]),
            limit: dice.pick(&[
                LimitBy::Nothing,
                LimitBy::MaxConnections(size),
                LimitBy::Shared(size + 1),
            ]),
            stack: {
                let size = 1 + dice.roll(2);
                dice.pick(&[
                    Stack::Plain,
                    Stack::Concurrency(size),
                    Stack::GlobalConcurrency(size),
                    Stack::LoadShed(size),
                ])
            },
            addresses: dice.pick(&[1, 2]),
            acceptors: dice.pick(&[1, 3]),
            is_like_socket: dice.pick(&[true, false]),
        }
    }

    /// Returns the connection limit at the start.
    pub fn max(&self) -> usize {
        match self.limit {
            LimitBy::Nothing => usize::MAX,
            LimitBy::MaxConnections(max) | LimitBy::Shared(max) => max,
        }
    }

    pub fn has_second_server(&self) -> bool {
        matches!(self.limit, LimitBy::Shared(_))
    }

    /// Returns the concurrency limit of the stack, and whether it applies to an acceptor or to the
    /// server.
    pub fn stack_limit(&self) -> Option<(Scope, usize)> {
        match (self.stack, self.start) {
            (Stack::Concurrency(size), StartBy::Make) => Some((Scope::Acceptor, size)),
            (Stack::Concurrency(size), StartBy::Clone) | (Stack::GlobalConcurrency(size), _) => {
                Some((Scope::Server, size))
            }
            (Stack::Plain | Stack::LoadShed(_), _) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Server,
    Acceptor,
}
