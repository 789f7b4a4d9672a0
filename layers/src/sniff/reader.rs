//! Reading from a block of known length of which only a part may have come.

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has not come yet.
    Missing,
    /// It goes beyond its block, or is not what it has to be.
    Wrong,
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// How much of the block is yet to come after `rest`.
    missing: usize,
}

impl<'a> Reader<'a> {
    /// Of a block that is there.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader {
            rest: bytes,
            missing: 0,
        }
    }

    /// Of one that has `len` bytes and begins with these.
    pub(super) fn of(bytes: &'a [u8], len: usize) -> Self {
        let there = bytes.len().min(len);
        Reader {
            rest: &bytes[..there],
            missing: len - there,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.len() + self.missing == 0
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        if len > self.rest.len() + self.missing {
            return Err(Fault::Wrong);
        }
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Fault::Missing)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<usize, Fault> {
        Ok(self.take(1)?[0].into())
    }

    pub(super) fn u16(&mut self) -> Result<usize, Fault> {
        let taken = self.take(2)?;
        Ok(u16::from_be_bytes([taken[0], taken[1]]).into())
    }

    /// The next `len` bytes, as far as they are there.
    pub(super) fn block(&mut self, len: usize) -> Result<Reader<'a>, Fault> {
        if len > self.rest.len() + self.missing {
            return Err(Fault::Wrong);
        }
        let block = Reader::of(self.rest, len);
        self.rest = &self.rest[block.rest.len()..];
        self.missing -= block.missing;
        Ok(block)
    }
}
