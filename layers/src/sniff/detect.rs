//! What bytes are, as far as they have come.

use super::{
    Protocol, Sniffed,
    message::{Looked, look},
    request_line::{Line, line},
};
use crate::net::HTTP2_PREFACE;
use std::sync::Arc;

/// As nginx (`preread_buffer_size`). A ClientHello has some 300 bytes, with a post-quantum key share 1,800, and with
/// a long session ticket a few thousand.
const DEFAULT_MAX_LEN: usize = 16 * 1024;

/// Of no two of them is one the beginning of the other.
static SIGNATURES: &[(&[u8], Protocol)] = &[
    // RFC 9110, section 9.3, and RFC 5789. Other methods take a whole request line to be known.
    (b"GET ", Protocol::Http1),
    (b"HEAD ", Protocol::Http1),
    (b"POST ", Protocol::Http1),
    (b"PUT ", Protocol::Http1),
    (b"DELETE ", Protocol::Http1),
    (b"CONNECT ", Protocol::Http1),
    (b"OPTIONS ", Protocol::Http1),
    (b"TRACE ", Protocol::Http1),
    (b"PATCH ", Protocol::Http1),
    // RFC 4918, section 9.
    (b"PROPFIND ", Protocol::Http1),
    (b"PROPPATCH ", Protocol::Http1),
    (b"MKCOL ", Protocol::Http1),
    (b"COPY ", Protocol::Http1),
    (b"MOVE ", Protocol::Http1),
    (b"LOCK ", Protocol::Http1),
    (b"UNLOCK ", Protocol::Http1),
    // RFC 9113, section 3.4.
    (HTTP2_PREFACE, Protocol::Http2),
    // RFC 4253, section 4.2.
    (b"SSH-", Protocol::Ssh),
    // https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, sections 2.1 and 2.2.
    (b"PROXY ", Protocol::Proxy),
    (b"\r\n\r\n\0\r\nQUIT\n", Protocol::Proxy),
];

/// The result of [`detect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// They may become several things.
    NeedMore {
        /// The least number of bytes to have before it is worth to look again: with fewer of them they can only
        /// turn out to be [`Protocol::Unknown`].
        needed: usize,
    },
    /// They are this, whatever follows.
    Done(Sniffed),
}

/// Detects what `bytes` are the beginning of, like a [`Detector`] without added prefixes.
///
/// It keeps nothing between calls, so a caller that receives in pieces passes all that has come so far. What is
/// decided stays so with whatever follows.
///
/// ```
/// use reagent_layers::sniff::{Detected, Protocol, detect};
///
/// let Detected::Done(sniffed) = detect(b"SSH-2.0-Op") else {
///     panic!("enough for SSH");
/// };
/// assert_eq!(*sniffed.protocol(), Protocol::Ssh);
/// assert_eq!(detect(b"PRO"), Detected::NeedMore { needed: 4 });
/// ```
pub fn detect(bytes: &[u8]) -> Detected {
    decide([], DEFAULT_MAX_LEN, bytes)
}

/// A set of protocols to look for and a limit of bytes. Added prefixes go before known protocols.
#[derive(Clone, Debug)]
pub struct Detector {
    own: Vec<(Box<[u8]>, Protocol)>,
    max_len: usize,
}

impl Default for Detector {
    fn default() -> Self {
        Detector {
            own: Vec::new(),
            max_len: DEFAULT_MAX_LEN,
        }
    }
}

impl Detector {
    /// Creates a detector like that of [`detect`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for these bytes too, which are [`Protocol::Own`] by this name.
    ///
    /// Added prefixes go before the known protocols, and the first given before the next. So clients of what
    /// begins likewise, and is shorter, are waited for until they have sent what differs. An empty prefix is
    /// never found.
    pub fn prefix(mut self, name: impl Into<Arc<str>>, bytes: impl AsRef<[u8]>) -> Self {
        self.own
            .push((bytes.as_ref().into(), Protocol::Own(name.into())));
        self
    }

    /// Sets how many bytes are looked at. Default 16 KiB. What is longer, such as a ClientHello that says so, is
    /// [`Protocol::Unknown`] as soon as that is known.
    pub fn max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    pub(super) fn limit(&self) -> usize {
        self.max_len
    }

    /// Looks what `bytes` are the beginning of; see [`detect`].
    pub fn detect(&self, bytes: &[u8]) -> Detected {
        let own = self.own.iter().map(|(prefix, own)| (&**prefix, own));
        decide(own, self.max_len, bytes)
    }
}

/// A candidate that is undecided keeps those after it from being chosen, since it may yet go before them.
fn decide<'a>(
    own: impl IntoIterator<Item = (&'a [u8], &'a Protocol)>,
    max_len: usize,
    bytes: &[u8],
) -> Detected {
    let bytes = &bytes[..bytes.len().min(max_len)];
    let known = SIGNATURES
        .iter()
        .map(|(known, protocol)| (*known, protocol));
    for (signature, protocol) in own.into_iter().chain(known) {
        if signature.is_empty() || signature.len() > max_len {
            continue;
        }
        // Most differ in their first byte, which is cheaper to see than by a comparison of slices.
        if bytes.first().is_some_and(|first| *first != signature[0]) {
            continue;
        }
        if bytes.starts_with(signature) {
            return Detected::Done(Sniffed::new(protocol.clone()));
        }
        if signature.starts_with(bytes) {
            let needed = bytes.len() + 1;
            return Detected::NeedMore { needed };
        }
    }
    match line(bytes) {
        Line::Http1 => return Detected::Done(Sniffed::new(Protocol::Http1)),
        Line::Part if bytes.len() < max_len => {
            let needed = bytes.len() + 1;
            return Detected::NeedMore { needed };
        }
        Line::Part | Line::Other => {}
    }
    match look(bytes) {
        Looked::Hello(hello) => Detected::Done(Sniffed::tls(hello)),
        Looked::Part { needed } if needed <= max_len => Detected::NeedMore { needed },
        Looked::Part { .. } | Looked::Other => Detected::Done(Sniffed::new(Protocol::Unknown)),
    }
}
