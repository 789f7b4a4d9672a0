//! The first message of a handshake, assembled from the records that carry it: RFC 8446, sections 4
//! and 5.1.

use super::{
    hello::Hello,
    ja4::ja4,
    reader::{Fault, Reader},
};
use std::borrow::Cow;

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
/// The maximum length of a record's content before encryption.
const MAX_FRAGMENT: usize = 1 << 14;

const MESSAGE_HEADER: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// The result of [`look`].
pub(super) enum Looked {
    Hello(Hello),
    /// The beginning of a ClientHello, which has at least `needed` bytes.
    Part {
        needed: usize,
    },
    Other,
}

/// What is remembered of a ClientHello beside its server name and protocols.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keep {
    pub(super) ja4: bool,
    pub(super) message: bool,
}

pub(super) fn look(bytes: &[u8], keep: Keep) -> Looked {
    let Some(message) = Message::gather(bytes) else {
        return Looked::Other;
    };
    let needed = match message.missing() {
        // The next byte may show that it is something else.
        None => bytes.len() + 1,
        Some(missing) => bytes.len() + message.on_the_wire(missing),
    };
    match message.read() {
        Ok(mut hello) => {
            let (whole, body) = message.whole();
            hello.ja4 = if keep.ja4 { ja4(body) } else { None };
            hello.message = keep.message.then(|| whole.into());
            Looked::Hello(hello)
        }
        Err(Fault::Missing) => Looked::Part { needed },
        Err(Fault::Wrong) => Looked::Other,
    }
}

/// The part of a handshake message that has been received.
struct Message<'a> {
    bytes: Cow<'a, [u8]>,
    /// The bytes that are missing from the current record's header, and from its content.
    header: usize,
    fragment: usize,
}

impl<'a> Message<'a> {
    /// Joins the contents of the records up to the end of the message. Returns `None` if they do
    /// not belong to a handshake.
    fn gather(mut rest: &'a [u8]) -> Option<Self> {
        let mut message = Message {
            bytes: Cow::Borrowed(&[]),
            header: 0,
            fragment: 0,
        };
        loop {
            // The version is to be ignored (section 5.1), but its first byte distinguishes TLS from
            // other protocols.
            let is_handshake = rest.first().is_none_or(|kind| *kind == HANDSHAKE)
                && rest.get(1).is_none_or(|major| *major == 3);
            if !is_handshake {
                return None;
            }
            let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) else {
                message.header = RECORD_HEADER - rest.len();
                return Some(message);
            };
            let len = u16::from_be_bytes([header[3], header[4]]).into();
            // An empty fragment is forbidden.
            if !(1..=MAX_FRAGMENT).contains(&len) {
                return None;
            }
            let (fragment, after) = body.split_at(len.min(body.len()));
            message.append(fragment);
            message.fragment = len - fragment.len();
            if message.fragment > 0 || message.missing() == Some(0) {
                return Some(message);
            }
            rest = after;
        }
    }

    /// Appends a fragment. The usual message is in one record and is not copied.
    fn append(&mut self, fragment: &'a [u8]) {
        if self.bytes.is_empty() {
            self.bytes = Cow::Borrowed(fragment);
        } else {
            self.bytes.to_mut().extend_from_slice(fragment);
        }
    }

    /// Returns the length of the message's body, if it has been received.
    fn len(&self) -> Option<usize> {
        let header = self.bytes.get(..MESSAGE_HEADER)?;
        let len = u32::from_be_bytes([0, header[1], header[2], header[3]]);
        Some(len as usize)
    }

    /// Returns the number of bytes still missing, if the length has been received.
    fn missing(&self) -> Option<usize> {
        let len = MESSAGE_HEADER + self.len()?;
        Some(len.saturating_sub(self.bytes.len()))
    }

    /// Returns the least number of record bytes that carry `missing` bytes of the message.
    fn on_the_wire(&self, missing: usize) -> usize {
        let next_header = match self.fragment {
            0 => self.header,
            fragment if fragment < missing => RECORD_HEADER,
            _ => 0,
        };
        missing + next_header
    }

    /// Returns a message that has been received in full, with its header and without.
    fn whole(&self) -> (&[u8], &[u8]) {
        let len = MESSAGE_HEADER + self.len().unwrap_or_default();
        let whole = &self.bytes[..len.min(self.bytes.len())];
        (whole, &whole[MESSAGE_HEADER.min(whole.len())..])
    }

    fn read(&self) -> Result<Hello, Fault> {
        if self.bytes.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Fault::Wrong);
        }
        let len = self.len().ok_or(Fault::Missing)?;
        let body = &self.bytes[MESSAGE_HEADER..];
        Hello::read(Reader::of(body, len))
    }
}
