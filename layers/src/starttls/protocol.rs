//! The protocols whose clients can ask for TLS before anything else.

use super::postgres;

#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Postgres,
}

/// What the bytes received so far ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing can be said before this number of bytes.
    NeedMore(usize),
    /// Another kind of encryption, in the first `len` bytes.
    Decline { len: usize, answer: Vec<u8> },
    /// TLS, in the first `len` bytes.
    Begin { len: usize, answer: Vec<u8> },
    /// The client has begun a handshake without asking.
    Direct,
    /// A message of this length that is always sent in plaintext, and after which the server closes
    /// the connection.
    PassMessage(usize),
    /// The client goes on without encryption.
    Plaintext,
    /// Not this protocol.
    Invalid,
}

impl Protocol {
    /// Returns what `bytes` ask for. `was_declined` is true after [`Step::Decline`].
    pub(super) fn read(self, bytes: &[u8], was_declined: bool) -> Step {
        match self {
            Protocol::Postgres => postgres::read(bytes, was_declined),
        }
    }

    /// Returns the message for a client that goes on without encryption.
    pub(super) fn refusal(self) -> &'static [u8] {
        match self {
            Protocol::Postgres => postgres::REFUSAL,
        }
    }

    /// Returns the ALPN protocol that a client has to negotiate if it begins with TLS.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Postgres => postgres::ALPN,
        }
    }
}
