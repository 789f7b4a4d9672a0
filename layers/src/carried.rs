//! The common part of saved state: the version of its format, the time at which it was saved, and
//! the number of its entries.

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const HEADER_LEN: usize = 1 + size_of::<u64>() + size_of::<u32>();

/// Begins to save `count` entries in this version of their format, which take at most `capacity`
/// bytes.
pub(crate) fn save(version: u8, count: usize, capacity: usize) -> Vec<u8> {
    let mut saved = Vec::with_capacity(HEADER_LEN + capacity);
    saved.push(version);
    put_duration(&mut saved, since_epoch());
    let count = u32::try_from(count).expect("a bounded number of entries");
    saved.extend(count.to_be_bytes());
    saved
}

/// Saves a duration in milliseconds.
pub(crate) fn put_duration(saved: &mut Vec<u8>, duration: Duration) {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    saved.extend(millis.to_be_bytes());
}

fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Saved state that is being read.
pub(crate) struct Saved<'a> {
    rest: &'a [u8],
    /// The time since the state was saved. It is zero if the wall clock has been set back since.
    pub(crate) age: Duration,
    /// The number of entries.
    pub(crate) count: usize,
}

impl<'a> Saved<'a> {
    /// Begins to read at most `max_count` entries, or returns `None` if the state has another
    /// version of its format.
    pub(crate) fn read(
        version: u8,
        max_count: usize,
        saved: &'a [u8],
    ) -> Result<Option<Self>, Damaged> {
        let mut saved = Saved {
            rest: saved,
            age: Duration::ZERO,
            count: 0,
        };
        if saved.take()? != &[version] {
            return Ok(None);
        }
        saved.age = since_epoch().saturating_sub(saved.take_duration()?);
        let count = u32::from_be_bytes(*saved.take()?);
        saved.count = usize::try_from(count).map_err(|_| Damaged)?;
        match saved.count <= max_count {
            true => Ok(Some(saved)),
            false => Err(Damaged),
        }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Damaged> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn take_duration(&mut self) -> Result<Duration, Damaged> {
        Ok(Duration::from_millis(u64::from_be_bytes(*self.take()?)))
    }

    /// Ends reading. Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Damaged> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Damaged),
        }
    }
}

/// The error of state that does not have the format of its version.
#[derive(Debug)]
pub(crate) struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the saved state does not have the format of its version")
    }
}

impl Error for Damaged {}
