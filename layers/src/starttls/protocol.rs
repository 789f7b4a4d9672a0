//! The protocols whose clients can ask for TLS before anything else.

use super::{ldap, postgres};

#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Ldap,
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
    /// The client has begun a handshake without asking. It has to negotiate this ALPN protocol.
    Direct { alpn: &'static [u8] },
    /// A message of this length that is always sent in plaintext, and after which the server closes
    /// the connection.
    PassMessage(usize),
    /// The client goes on without encryption, and may be refused by this message. If the request
    /// has a length here, the client may then go on with another one.
    Plaintext {
        refusal: Vec<u8>,
        goes_on: Option<usize>,
    },
    /// Not this protocol.
    Invalid,
}

impl Protocol {
    /// Returns what `bytes` ask for, after this number of requests that were declined or refused.
    pub(super) fn read(self, bytes: &[u8], declined: usize) -> Step {
        match self {
            Protocol::Ldap => ldap::read(bytes, declined),
            Protocol::Postgres => postgres::read(bytes, declined > 0),
        }
    }
}
