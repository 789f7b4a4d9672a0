//! The contents of a ClientHello: RFC 8446, section 4.1.2. Its format is the same in all versions
//! since SSL 3.

use super::reader::{
    Fault::{self, Wrong},
    Reader,
};
use std::net::IpAddr;

/// RFC 6066, section 3.
pub(super) const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;

/// RFC 7301, section 3.1.
pub(super) const ALPN: usize = 16;

/// RFC 1035, section 2.3.4, for names in their text form.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// The host name that the client asks for, if there is one and it is valid.
    pub(super) server_name: Option<Box<str>>,
    /// The list as it was sent, with a length before each name, so it takes no more memory than it
    /// had bytes.
    pub(super) alpn: Box<[u8]>,
    /// The fingerprint, if it was asked for.
    pub(super) ja4: Option<Box<str>>,
    /// The whole message, if it was asked for.
    pub(super) message: Option<Box<[u8]>>,
}

impl Hello {
    /// Reads the body of the message.
    ///
    /// The whole message is validated before there is a result. An extension that is allowed once
    /// may be sent twice, and two servers need not agree on which one counts. Therefore, a message
    /// with any fault does not count as a ClientHello.
    pub(super) fn read(mut body: Reader<'_>) -> Result<Hello, Fault> {
        let version = body.take(2)?;
        if version[0] != 3 {
            return Err(Wrong);
        }
        let _random = body.take(32)?;
        let session = body.u8()?;
        if session > 32 {
            return Err(Wrong);
        }
        body.take(session)?;
        let suites = body.u16()?;
        if suites == 0 || suites % 2 != 0 {
            return Err(Wrong);
        }
        body.take(suites)?;
        let compressions = body.u8()?;
        if compressions == 0 {
            return Err(Wrong);
        }
        body.take(compressions)?;
        let mut hello = Hello::default();
        if body.is_empty() {
            return Ok(hello);
        }
        let len = body.u16()?;
        let extensions = body.block(len)?;
        if !body.is_empty() {
            return Err(Wrong);
        }
        hello.read_extensions(extensions)?;
        Ok(hello)
    }

    fn read_extensions(&mut self, mut extensions: Reader<'_>) -> Result<(), Fault> {
        let (mut names, mut protocols) = (None, None);
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            let len = extensions.u16()?;
            let data = extensions.take(len)?;
            let before = match kind {
                SERVER_NAME => names.replace(data),
                ALPN => protocols.replace(data),
                _ => None,
            };
            if before.is_some() {
                return Err(Wrong);
            }
        }
        if let Some(data) = names {
            self.server_name = server_name(data)?;
        }
        if let Some(data) = protocols {
            self.alpn = alpn(data)?.into();
        }
        Ok(())
    }
}

/// Reads the only name in the list: the RFC says that it "MUST NOT contain more than one name of
/// the same `name_type`", and defines only one type.
///
/// An IP address, which the RFC forbids but clients send, counts as no name, and so does anything
/// else that is not a host name. rustls also ignores the former, and answers the latter with an
/// alert.
fn server_name(data: &[u8]) -> Result<Option<Box<str>>, Fault> {
    let mut data = Reader::new(data);
    let len = data.u16()?;
    let mut list = data.block(len)?;
    let kind = list.u8()?;
    let len = list.u16()?;
    let name = list.take(len)?;
    if kind != HOST_NAME || !list.is_empty() || !data.is_empty() {
        return Err(Wrong);
    }
    Ok(host_name(name).filter(|name| name.parse::<IpAddr>().is_err()))
}

/// Returns a host name in lower case and without a trailing dot. Underscores are accepted: they are
/// not allowed in host names, but are in use.
fn host_name(name: &[u8]) -> Option<Box<str>> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_label = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    let is_name = name.len() <= MAX_NAME && name.split(|byte| *byte == b'.').all(is_label);
    let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
    Some(name.to_ascii_lowercase().into())
}

/// Returns the list without its length, if every entry is valid.
fn alpn(data: &[u8]) -> Result<&[u8], Fault> {
    let mut data = Reader::new(data);
    let len = data.u16()?;
    let list = data.take(len)?;
    let mut names = Reader::new(list);
    if names.is_empty() || !data.is_empty() {
        return Err(Wrong);
    }
    while !names.is_empty() {
        let len = names.u8()?;
        if len == 0 {
            return Err(Wrong);
        }
        names.take(len)?;
    }
    Ok(list)
}

/// Iterates over the names of such a list.
pub(super) fn names(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = list.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        list = rest;
        Some(name)
    })
}
