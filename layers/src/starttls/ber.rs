//! Reading the Basic Encoding Rules (X.690), as RFC 4511 restricts them: all lengths are definite.

use super::protocol::Step;

/// The elements in a part of the bytes that have arrived. What is not there yet is an error of the
/// kind [`Step::NeedMore`], and anything that does not fit is [`Step::Invalid`].
pub(super) struct Reader<'a> {
    /// All bytes so far, of the outermost element too.
    bytes: &'a [u8],
    next: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader {
            bytes,
            next: 0,
            end: usize::MAX,
        }
    }

    /// Returns where it ends in all bytes.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// Returns the tag of the next element, which stays the next one.
    pub(super) fn tag(&self) -> Result<u8, Step> {
        if self.is_empty() {
            return Err(Step::Invalid);
        }
        let tag = self.bytes.get(self.next);
        tag.copied().ok_or(Step::NeedMore(self.next + 1))
    }

    /// Returns the content of the next element, which must have this tag.
    pub(super) fn element(&mut self, tag: u8) -> Result<Reader<'a>, Step> {
        if self.tag()? != tag {
            return Err(Step::Invalid);
        }
        self.next += 1;
        let len = self.length()?;
        let start = self.next;
        let end = start.checked_add(len).filter(|end| *end <= self.end);
        self.next = end.ok_or(Step::Invalid)?;
        Ok(Reader {
            bytes: self.bytes,
            next: start,
            end: self.next,
        })
    }

    /// Reads a length: the number itself if it is below 128, or else the number of bytes that it
    /// takes, of which the first ones may be zero.
    fn length(&mut self) -> Result<usize, Step> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        let count = first & 0x7f;
        // None is an indefinite length. More than eight are never needed.
        if !(1..=8).contains(&count) {
            return Err(Step::Invalid);
        }
        let mut len: u64 = 0;
        for _ in 0..count {
            len = len << 8 | u64::from(self.byte()?);
        }
        usize::try_from(len).map_err(|_| Step::Invalid)
    }

    fn byte(&mut self) -> Result<u8, Step> {
        let byte = self.tag()?;
        self.next += 1;
        Ok(byte)
    }

    /// Returns the content of the next element, which must have this tag and contain no others.
    pub(super) fn octets(&mut self, tag: u8) -> Result<&'a [u8], Step> {
        let Reader { bytes, next, end } = self.element(tag)?;
        bytes.get(next..end).ok_or(Step::NeedMore(end))
    }

    /// Reads a number of at most eight bytes.
    pub(super) fn integer(&mut self, tag: u8) -> Result<i64, Step> {
        let mut content = self.element(tag)?;
        if !(1..=8).contains(&(content.end - content.next)) {
            return Err(Step::Invalid);
        }
        let mut number = i64::from(content.byte()? as i8);
        while !content.is_empty() {
            number = number << 8 | i64::from(content.byte()?);
        }
        Ok(number)
    }
}
