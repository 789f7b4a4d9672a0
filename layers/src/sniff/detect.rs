//! Detection of a protocol from the bytes received so far.

use super::{
    Protocol, Sniffed,
    message::{Keep, Looked, look},
    request_line::{Line, line},
};
use crate::net::HTTP2_PREFACE;
use std::sync::Arc;

/// The same as nginx's `preread_buffer_size`. A ClientHello has about 300 bytes, with a
/// post-quantum key share 1,800, and with a long session ticket a few thousand.
const DEFAULT_MAX_LEN: usize = 16 * 1024;

/// No signature is the beginning of another.
static SIGNATURES: &[(&[u8], Protocol)] = &[
    // RFC 9110, section 9.3, and RFC 5789. Other methods are detected by a whole request line.
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
    /// The bytes may still become one of several protocols.
    NeedMore {
        /// The number of bytes to collect before calling again. With fewer, the only possible
        /// outcome is [`Protocol::Unknown`], when the stream ends.
        needed: usize,
    },
    /// The result, which does not change with the bytes that follow.
    Done(Sniffed),
}

/// Detects the protocol of a stream that begins with `bytes`, like a [`Detector`] without added
/// prefixes.
///
/// No state is kept between calls: if bytes arrive in pieces, pass everything received so far each
/// time. A result that is [`Done`](Detected::Done) does not change with the bytes that follow.
///
/// # Example
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
    decide([], DEFAULT_MAX_LEN, Keep::default(), bytes)
}

/// A set of protocols to detect, and a limit on the number of bytes examined.
///
/// # Example
///
/// ```
/// use reagent_layers::sniff::{Detected, Detector, Protocol};
///
/// let detector = Detector::new().prefix("redis", b"*");
/// let Detected::Done(sniffed) = detector.detect(b"*1\r\n$4\r\nPING\r\n") else {
///     panic!("enough for the prefix");
/// };
/// assert_eq!(*sniffed.protocol(), Protocol::Own("redis".into()));
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    own: Vec<(Box<[u8]>, Protocol)>,
    max_len: usize,
    keep: Keep,
}

impl Default for Detector {
    fn default() -> Self {
        Detector {
            own: Vec::new(),
            max_len: DEFAULT_MAX_LEN,
            keep: Keep::default(),
        }
    }
}

impl Detector {
    /// Creates a detector without added prefixes, which looks at up to 16 KiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a prefix to detect. A client that sends it is [`Protocol::Own`] with this name.
    ///
    /// Added prefixes are checked in the order in which they were added, and before the known
    /// protocols. If an added prefix begins with the signature of another protocol, as `GET /admin`
    /// begins with HTTP's `GET `, clients of that protocol remain undecided until they send a byte
    /// that differs from the prefix. An empty prefix never matches.
    pub fn prefix(mut self, name: impl Into<Arc<str>>, bytes: impl AsRef<[u8]>) -> Self {
        self.own
            .push((bytes.as_ref().into(), Protocol::Own(name.into())));
        self
    }

    /// Sets the maximum number of bytes to examine. The default is 16 KiB, the same as nginx's
    /// `preread_buffer_size`.
    ///
    /// A message that needs more, such as a ClientHello whose length field exceeds the limit, is
    /// [`Protocol::Unknown`] as soon as that is known.
    pub fn max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// Sets whether the [JA4 fingerprint](Sniffed::ja4) of TLS clients is computed. The default is
    /// `false`.
    pub fn ja4(mut self, ja4: bool) -> Self {
        self.keep.ja4 = ja4;
        self
    }

    /// Sets whether the [ClientHello](Sniffed::client_hello) of TLS clients is kept. The default is
    /// `false`, since it takes memory for as long as the connection is open.
    pub fn keep_client_hello(mut self, keep: bool) -> Self {
        self.keep.message = keep;
        self
    }

    pub(super) fn limit(&self) -> usize {
        self.max_len
    }

    /// Detects the protocol of a stream that begins with `bytes`. See [`detect`].
    pub fn detect(&self, bytes: &[u8]) -> Detected {
        let own = self.own.iter().map(|(prefix, own)| (&**prefix, own));
        decide(own, self.max_len, self.keep, bytes)
    }
}

/// Goes through the candidates in order. An undecided one must be settled before any that follow
/// it, since it takes precedence.
fn decide<'a>(
    own: impl IntoIterator<Item = (&'a [u8], &'a Protocol)>,
    max_len: usize,
    keep: Keep,
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
        // Most candidates differ in the first byte, which is cheaper to check than comparing
        // slices.
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
    match look(bytes, keep) {
        Looked::Hello(hello) => Detected::Done(Sniffed::tls(hello)),
        Looked::Part { needed } if needed <= max_len => Detected::NeedMore { needed },
        Looked::Part { .. } | Looked::Other => Detected::Done(Sniffed::new(Protocol::Unknown)),
    }
}
