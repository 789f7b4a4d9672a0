//! Pipes through which the kernel moves bytes from one socket to another (`splice(2)`).
//!
//! A direction of a relay borrows a pipe while bytes flow, and gives it back once the pipe is empty
//! and nothing follows.

use crate::io::PlainSocket;
use reagent::{Connection, IoStream};
use rustix::{
    io::retry_on_intr,
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
    process::{Resource, getrlimit},
};
use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// The size of a pipe. Measured with 64 KiB to 1 MiB: the cost per byte is the lowest at 256 KiB.
pub(super) const SIZE: usize = 256 * 1024;

/// The number of unused pipes that a thread keeps.
const KEPT: usize = 16;

/// The most pipes that the process has at a time: 64 MiB if all are full. A user without privileges
/// gets no more by default.
const MOST: usize = 256;

/// The part of the descriptors that pipes may have, two each.
const SHARE: u64 = 16;

/// The number of times that no pipe is created after the system had none.
const PAUSE: u32 = 256;

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// The number of pipes of the process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static UNUSED: RefCell<Unused> = const { RefCell::new(Unused { pipes: Vec::new(), pause: 0 }) };
}

/// The pipes that a thread keeps.
struct Unused {
    #[expect(
        clippy::vec_box,
        reason = "a relay holds the box, which keeps it small"
    )]
    pipes: Vec<Box<Pipe>>,
    /// The number of times that none is created.
    pause: u32,
}

/// A pipe, and the number of bytes in it. Dropping it discards them.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: Arc<OwnedFd>,
    writer: Arc<OwnedFd>,
    len: usize,
    _open: Open,
}

impl Pipe {
    /// Returns an empty pipe, or `None` if the process has as many as it may have, or the system
    /// has no more.
    pub(super) fn borrow() -> Option<Box<Pipe>> {
        // A thread that is ending has no pipes any more.
        let unused = UNUSED.try_with(|unused| unused.borrow_mut().take());
        unused.ok().flatten()
    }

    /// Gives back an empty pipe.
    pub(super) fn give_back(self: Box<Self>) {
        debug_assert_eq!(self.len, 0, "the next relay would send these bytes");
        let _ = UNUSED.try_with(|unused| {
            let pipes = &mut unused.borrow_mut().pipes;
            if pipes.len() < KEPT {
                pipes.push(self);
            }
        });
    }

    fn create() -> io::Result<Box<Pipe>> {
        let open = Open::new().ok_or(io::ErrorKind::QuotaExceeded)?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user with many pipes gets small ones, which cost more than buffers, and may not make
        // them larger (`pipe-user-pages-soft`, see `pipe(7)`).
        fcntl_setpipe_size(&writer, SIZE)?;
        Ok(Box::new(Pipe {
            reader: Arc::new(reader),
            writer: Arc::new(writer),
            len: 0,
            _open: open,
        }))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Fills the empty pipe from a connection, as [`Connection::poll_splice_read`] does.
    pub(super) fn poll_fill_from_client(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection<impl IoStream>,
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let polled = client.poll_splice_read(cx, &self.writer, SIZE, rest);
        self.filled(polled)
    }

    /// Writes to a connection, and returns the number of bytes.
    pub(super) fn poll_empty_to_client(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Connection<impl IoStream>,
    ) -> Poll<io::Result<usize>> {
        let polled = client.poll_splice_write(cx, &self.reader, self.len);
        self.emptied(polled)
    }

    /// Fills the empty pipe from a socket, and returns the number of bytes.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: PlainSocket<'_>,
    ) -> Poll<io::Result<usize>> {
        let polled = socket.poll_read_with(cx, |socket| {
            let splice = || splice(socket, None, &self.writer, None, SIZE, FLAGS);
            Ok(retry_on_intr(splice)?)
        });
        self.filled(polled)
    }

    /// Writes to a socket, and returns the number of bytes.
    pub(super) fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        socket: PlainSocket<'_>,
    ) -> Poll<io::Result<usize>> {
        let polled = socket.poll_write_with(cx, |socket| {
            let splice = || splice(&self.reader, None, socket, None, self.len, FLAGS);
            Ok(retry_on_intr(splice)?)
        });
        self.emptied(polled)
    }

    fn filled(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = polled {
            self.len += n;
        }
        polled
    }

    fn emptied(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = polled {
            self.len -= n;
        }
        polled
    }
}

impl Unused {
    fn take(&mut self) -> Option<Box<Pipe>> {
        if let Some(pipe) = self.pipes.pop() {
            return Some(pipe);
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let created = Pipe::create();
        if created.is_err() {
            self.pause = PAUSE;
        }
        created.ok()
    }
}

/// Counts a pipe of the process.
#[derive(Debug)]
struct Open;

impl Open {
    fn new() -> Option<Self> {
        static LIMIT: OnceLock<usize> = OnceLock::new();
        let limit = *LIMIT.get_or_init(|| {
            let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            usize::try_from(descriptors / SHARE / 2).map_or(MOST, |most| most.min(MOST))
        });
        let open = OPEN.fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1));
        // Not `then_some`, whose argument would be dropped, and so count, where there is no room.
        open.is_ok().then(|| Open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_pipes_and_they_come_back() {
        let mut pipes = Vec::new();
        while let Some(pipe) = Pipe::borrow() {
            pipes.push(pipe);
        }
        assert!((1..=MOST).contains(&pipes.len()), "{} pipes", pipes.len());
        // However often it is tried.
        let more = (0..4 * (PAUSE + 1)).find_map(|_| Pipe::borrow());
        assert!(more.is_none());
        // One that was given back is lent at once.
        pipes.pop().unwrap().give_back();
        pipes.push(Pipe::borrow().expect("the one that was given back"));
        // One that was dropped may be created again, after a while.
        pipes.pop();
        let refused = (0..).take_while(|_| Pipe::borrow().is_none()).count();
        assert_eq!(refused as u32, PAUSE);
    }
}
