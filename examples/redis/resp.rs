//! RESP2 and RESP3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): decodes
//! requests and encodes replies.

use bytes::{Buf, Bytes, BytesMut};
use reagent_layers::framed::codec::{Decoder, Encoder};
use smallvec::SmallVec;
use std::{
    borrow::Cow,
    fmt, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The maximum number of arguments, as in Redis.
pub const MAX_ARGS: usize = 1024 * 1024;
/// The maximum length of an argument in bytes. Redis allows 512 MiB.
pub const MAX_BULK: usize = 16 * 1024 * 1024;
/// Limits for clients that have not authenticated, as in Redis.
const UNKNOWN_ARGS: usize = 10;
const UNKNOWN_BULK: usize = 16 * 1024;
/// The maximum length of a line in bytes, as in Redis (`PROTO_INLINE_MAX_SIZE`).
const MAX_LINE: usize = 64 * 1024;

/// State shared by the codec of a connection and its commands.
#[derive(Debug)]
pub struct Facts {
    pub is_known: AtomicBool,
    pub is_resp3: AtomicBool,
}

/// A command and its arguments: the received bytes, and the range of each argument.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Bytes,
    args: SmallVec<[Range<usize>; 4]>,
}

impl Request {
    /// Returns the number of arguments, including the name of the command.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    pub fn arg(&self, i: usize) -> &[u8] {
        &self.bytes[self.args[i].clone()]
    }

    pub fn args(&self, from: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        self.args[from..].iter().map(|arg| &self.bytes[arg.clone()])
    }
}

#[derive(Clone, Debug)]
pub enum Reply {
    Ok,
    /// `+OK`, after which the connection is closed.
    Bye,
    /// Closes the connection without a reply.
    HangUp,
    Nothing,
    Simple(&'static str),
    Error(Cow<'static, str>),
    Int(i64),
    Bulk(Arc<[u8]>),
    Null,
    /// The reply to a transaction that was not executed.
    NullArray,
    Array(Vec<Reply>),
    Map(Vec<Reply>),
    Push(Vec<Reply>),
    /// Several replies to one command.
    All(Vec<Reply>),
}

impl Reply {
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Reply::Error(text.into())
    }

    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Reply::Bulk(bytes.as_ref().into())
    }
}

/// The error of a malformed command.
#[derive(Debug)]
pub struct ProtocolError(Cow<'static, str>);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProtocolError {}

impl From<io::Error> for ProtocolError {
    fn from(error: io::Error) -> Self {
        ProtocolError(error.to_string().into())
    }
}

fn error<T>(text: &'static str) -> Result<T, ProtocolError> {
    Err(ProtocolError(text.into()))
}

/// Decodes commands, and remembers its position in an incomplete one.
#[derive(Debug)]
pub struct Codec {
    facts: Arc<Facts>,
    at: usize,
    /// The number of arguments that are missing, and the length of the current one.
    left: usize,
    bulk: Option<usize>,
    args: SmallVec<[Range<usize>; 4]>,
}

impl Codec {
    pub fn new(facts: Arc<Facts>) -> Self {
        Codec {
            facts,
            at: 0,
            left: 0,
            bulk: None,
            args: SmallVec::new(),
        }
    }

    /// Parses the number in the line at `self.at`, after its first byte, which was checked before.
    fn number(
        &mut self,
        src: &[u8],
        too_long: &'static str,
    ) -> Result<Option<Option<i64>>, ProtocolError> {
        let line = &src[self.at + 1..];
        let Some(end) = line.iter().position(|byte| *byte == b'\r') else {
            return if line.len() > MAX_LINE {
                error(too_long)
            } else {
                Ok(None)
            };
        };
        if line.len() < end + 2 {
            return Ok(None);
        }
        self.at += end + 3;
        Ok(Some(match line[end + 1] {
            b'\n' => parse_int(&line[..end]),
            _ => None,
        }))
    }

    fn inline(&mut self, src: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        let Some(end) = src.iter().position(|byte| *byte == b'\n') else {
            return if src.len() > MAX_LINE {
                error("too big inline request")
            } else {
                Ok(None)
            };
        };
        let line = src.split_to(end + 1);
        let mut bytes = Vec::with_capacity(line.len());
        let mut args = SmallVec::new();
        if !split_words(&line, &mut bytes, &mut args) {
            return error("unbalanced quotes in request");
        }
        Ok(Some(Request {
            bytes: bytes.into(),
            args,
        }))
    }

    fn array(&mut self, src: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        let is_known = self.facts.is_known.load(Relaxed);
        if self.left == 0 {
            let Some(count) = self.number(src, "too big mbulk count string")? else {
                return Ok(None);
            };
            match count {
                Some(count) if count > MAX_ARGS as i64 => return error("invalid multibulk length"),
                Some(count) if count > UNKNOWN_ARGS as i64 && !is_known => {
                    return error("unauthenticated multibulk length");
                }
                Some(count) => self.left = count.max(0) as usize,
                None => return error("invalid multibulk length"),
            }
        }
        while self.left > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    match src.get(self.at) {
                        Some(b'$') => {}
                        Some(byte) => {
                            let byte = char::from(*byte).escape_default();
                            let text = format!("expected '$', got '{byte}'");
                            return Err(ProtocolError(text.into()));
                        }
                        None => return Ok(None),
                    }
                    let Some(len) = self.number(src, "too big bulk count string")? else {
                        return Ok(None);
                    };
                    match len.and_then(|len| usize::try_from(len).ok()) {
                        Some(len) if len > UNKNOWN_BULK && !is_known => {
                            return error("unauthenticated bulk length");
                        }
                        Some(len) if len <= MAX_BULK => *self.bulk.insert(len),
                        _ => return error("invalid bulk length"),
                    }
                }
            };
            let end = self.at + len;
            match src.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return error("expected CR LF after a bulk"),
                None => return Ok(None),
            }
            self.args.push(self.at..end);
            self.at = end + 2;
            self.bulk = None;
            self.left -= 1;
        }
        let bytes = src.split_to(self.at).freeze();
        self.at = 0;
        let args = std::mem::take(&mut self.args);
        Ok(Some(Request { bytes, args }))
    }
}

impl Decoder for Codec {
    type Item = Request;
    type Error = ProtocolError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        loop {
            let request = match src.first() {
                Some(b'*') => self.array(src)?,
                Some(_) => self.inline(src)?,
                None => None,
            };
            match request {
                // An empty line or array is not a command and gets no reply.
                Some(request) if request.args.is_empty() => {}
                request => return Ok(request),
            }
        }
    }

    /// As in Redis, an incomplete command at the end is ignored.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        let request = self.decode(src)?;
        if request.is_none() {
            src.advance(src.len());
        }
        Ok(request)
    }
}

impl Encoder<Reply> for Codec {
    type Error = io::Error;

    fn encode(&mut self, reply: Reply, out: &mut BytesMut) -> io::Result<()> {
        write_reply(&reply, self.facts.is_resp3.load(Relaxed), out);
        Ok(())
    }
}

fn write_reply(reply: &Reply, is_resp3: bool, out: &mut BytesMut) {
    match reply {
        Reply::Ok | Reply::Bye => out.extend_from_slice(b"+OK\r\n"),
        Reply::Nothing | Reply::HangUp => {}
        Reply::Simple(text) => {
            out.extend_from_slice(b"+");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Reply::Error(text) => {
            out.extend_from_slice(b"-");
            // Text from a client must not end the line.
            out.extend(
                text.bytes()
                    .map(|byte| if byte < b' ' { b' ' } else { byte }),
            );
            out.extend_from_slice(b"\r\n");
        }
        Reply::Int(n) => write_header(b':', *n, out),
        Reply::Bulk(bytes) => {
            write_header(b'$', bytes.len() as i64, out);
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Null | Reply::NullArray if is_resp3 => out.extend_from_slice(b"_\r\n"),
        Reply::NullArray => out.extend_from_slice(b"*-1\r\n"),
        Reply::Null => out.extend_from_slice(b"$-1\r\n"),
        Reply::Array(items) => write_items(b'*', items.len(), items, is_resp3, out),
        Reply::Map(items) if is_resp3 => write_items(b'%', items.len() / 2, items, true, out),
        Reply::Map(items) => write_items(b'*', items.len(), items, false, out),
        Reply::Push(items) => {
            let kind = if is_resp3 { b'>' } else { b'*' };
            write_items(kind, items.len(), items, is_resp3, out);
        }
        Reply::All(replies) => replies
            .iter()
            .for_each(|reply| write_reply(reply, is_resp3, out)),
    }
}

fn write_items(kind: u8, len: usize, items: &[Reply], is_resp3: bool, out: &mut BytesMut) {
    write_header(kind, len as i64, out);
    items
        .iter()
        .for_each(|item| write_reply(item, is_resp3, out));
}

fn write_header(kind: u8, n: i64, out: &mut BytesMut) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    out.reserve(digits.len() + 3);
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

/// Parses a number as Redis does: only its shortest form is accepted.
pub fn parse_int(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'0'] if digits.len() == bytes.len() => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// Splits a line as Redis's `sdssplitargs` does, with quotes and escapes. Returns `false` if a
/// quote is not closed.
fn split_words(line: &[u8], out: &mut Vec<u8>, args: &mut SmallVec<[Range<usize>; 4]>) -> bool {
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        if rest.peek().is_none() {
            return true;
        }
        let begin = out.len();
        while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
            let (b'"' | b'\'') = byte else {
                out.push(byte);
                continue;
            };
            let quote = byte;
            loop {
                match rest.next() {
                    None => return false,
                    Some(byte) if byte == quote => break,
                    Some(b'\\') if quote == b'"' => match rest.next() {
                        None => return false,
                        Some(b'x') => {
                            let hex = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
                            let high = hex(rest.peek());
                            let low = hex(rest.clone().nth(1).as_ref());
                            match (high, low) {
                                (Some(high), Some(low)) => {
                                    out.push((high * 16 + low) as u8);
                                    rest.nth(1);
                                }
                                _ => out.push(b'x'),
                            }
                        }
                        Some(b'n') => out.push(b'\n'),
                        Some(b'r') => out.push(b'\r'),
                        Some(b't') => out.push(b'\t'),
                        Some(b'b') => out.push(8),
                        Some(b'a') => out.push(7),
                        Some(byte) => out.push(byte),
                    },
                    Some(b'\\') if rest.next_if_eq(&b'\'').is_some() => out.push(b'\''),
                    Some(byte) => out.push(byte),
                }
            }
            // A closing quote must be followed by a space.
            if rest.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                return false;
            }
        }
        args.push(begin..out.len());
    }
}
