//! Fields: a tag, a length, and that many bytes.
//!
//! A reader skips the tags that it does not know, so that later versions can add fields.

use std::io;

/// The bytes of a field besides its value.
const HEAD: usize = 6;

/// Appends a field.
pub(super) fn put(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    // What is sent is bounded far below this by `transfer.rs`.
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend(tag.to_be_bytes());
    out.extend(len.to_be_bytes());
    out.extend(value);
}

/// Iterates over fields. After an error there are no more.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = io::Result<(u16, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| invalid("a field is cut off")))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u16, &'a [u8])> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let [t0, t1, l0, l1, l2, l3] = *head;
        let len = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((u16::from_be_bytes([t0, t1]), value))
    }
}

/// Sets a field that may occur only once.
pub(super) fn once<T>(field: &mut Option<T>, value: T) -> io::Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid("a field occurs twice")),
    }
}

/// Reads a value of a fixed size.
pub(super) fn sized<const N: usize>(value: &[u8]) -> io::Result<[u8; N]> {
    value
        .try_into()
        .map_err(|_| invalid(format!("a field has {} bytes; expected {N}", value.len())))
}

/// Reads a text of at most `most` bytes.
pub(super) fn text(value: &[u8], most: usize) -> io::Result<String> {
    if value.len() > most {
        let reason = format!("a text has {} bytes; expected at most {most}", value.len());
        return Err(invalid(reason));
    }
    String::from_utf8(value.to_vec()).map_err(|_| invalid("a text is not valid UTF-8"))
}

pub(super) fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
