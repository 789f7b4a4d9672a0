//! A reader of a block whose length is known and of which only a part may have been received.

/// The reason that a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes have not been received yet.
    Missing,
    /// The item extends beyond its block, or is not valid.
    Wrong,
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// The number of bytes of the block that follow `rest` and have not been received yet.
    missing: usize,
}

impl<'a> Reader<'a> {
    /// Creates a reader of a block that has been received in full.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader {
            rest: bytes,
            missing: 0,
        }
    }

    /// Creates a reader of a block of `len` bytes that begins with `bytes`.
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

    /// Splits off the next `len` bytes, as far as they have been received.
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
