//! Frames, and the descriptors that travel with them.
//!
//! A frame is its kind (one byte), the length of its body (four bytes), and the body. The successor
//! asks and the predecessor answers, one frame each, so at most one answer is under way. It fits
//! into the buffer of the socket: a predecessor never waits for a successor to read, and can always
//! refuse it.

use super::fields::invalid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tokio::{io::Interest, net::UnixStream};

/// The greatest size of a body. Linux has room for 208 KiB in a Unix socket, unless
/// `net.core.wmem_default` is lower.
pub(super) const MOST_BODY: usize = 32 * 1024;

/// The most descriptors that Linux sends with one message (`SCM_MAX_FD`, `unix(7)`).
pub(super) const MOST_DESCRIPTORS: usize = 253;

const HEAD: usize = 5;

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const FLAGS: (SendFlags, RecvFlags) = (SendFlags::NOSIGNAL, RecvFlags::CMSG_CLOEXEC);
// Rust programs ignore SIGPIPE. Descriptors are marked after they arrive.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const FLAGS: (SendFlags, RecvFlags) = (SendFlags::empty(), RecvFlags::empty());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Successor: begin. The body starts with `HELLO`, see `mod.rs`.
    Hello = 1,
    /// Successor: send the next part.
    Next = 2,
    /// Successor: ready to accept on the listeners in the body.
    Ready = 3,
    /// Successor: the state is restored, so let me accept.
    Restored = 4,
    /// Predecessor: a part, and more will follow.
    Part = 16,
    /// Predecessor: the last part.
    Last = 17,
    /// Predecessor: the listeners are yours.
    Done = 18,
    /// Predecessor: stop, I continue. The body is the reason.
    Refused = 19,
}

impl Kind {
    fn read(kind: u8) -> io::Result<Self> {
        let known = [
            Kind::Hello,
            Kind::Next,
            Kind::Ready,
            Kind::Restored,
            Kind::Part,
            Kind::Last,
            Kind::Done,
            Kind::Refused,
        ];
        let found = known.into_iter().find(|known| *known as u8 == kind);
        found.ok_or_else(|| invalid(format!("a message has the unknown kind {kind}")))
    }
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

/// Descriptors that were received, and the number of them that are acceptable.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) fds: Vec<OwnedFd>,
    pub(super) most: usize,
}

#[derive(Debug)]
pub(super) struct Wire(UnixStream);

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Wire(stream)
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.0
    }

    /// Sends a frame. The descriptors go with its first byte.
    ///
    /// Not cancel safe: a part of the frame may have been sent.
    pub(super) async fn send(
        &self,
        kind: Kind,
        body: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = encode(kind, body)?;
        let mut left = frame.as_slice();
        let mut fds = fds;
        while !left.is_empty() {
            let sent = self
                .0
                .async_io(Interest::WRITABLE, || send_now(&self.0, left, fds))
                .await?;
            left = &left[sent..];
            fds = &[];
        }
        Ok(())
    }

    /// Sends a small frame if there is room for it, which there is in a new connection.
    pub(super) fn try_send(&self, kind: Kind, body: &[u8]) {
        let _ = encode(kind, body).and_then(|frame| send_now(&self.0, &frame, &[]));
    }

    /// Receives a frame, or `None` if the peer has closed the connection before it.
    ///
    /// Not cancel safe: a part of the frame may have been received.
    pub(super) async fn receive(&self, received: &mut Received) -> io::Result<Option<Frame>> {
        let mut head = [0; HEAD];
        if !self.fill(&mut head, received).await? {
            return Ok(None);
        }
        let [kind, len @ ..] = head;
        let kind = Kind::read(kind)?;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len > MOST_BODY {
            let reason = format!("a message has {len} bytes; expected at most {MOST_BODY}");
            return Err(invalid(reason));
        }
        let mut body = vec![0; len];
        if len > 0 && !self.fill(&mut body, received).await? {
            return Err(cut_off());
        }
        Ok(Some(Frame { kind, body }))
    }

    /// Fills `buf`. Returns false if the peer has closed the connection before the first byte.
    async fn fill(&self, buf: &mut [u8], received: &mut Received) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buf.len() {
            match (self.read(&mut buf[filled..], received).await?, filled) {
                (0, 0) => return Ok(false),
                (0, _) => return Err(cut_off()),
                (read, _) => filled += read,
            }
        }
        Ok(true)
    }

    /// Receives some bytes, or none at the end of the connection.
    async fn read(&self, buf: &mut [u8], received: &mut Received) -> io::Result<usize> {
        // At first without waiting, so that the greeting of a successor is found by the first poll,
        // whenever the runtime learns that it is there.
        let read = match receive_now(&self.0, buf, received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let attempt = || receive_now(&self.0, buf, received);
                self.0.async_io(Interest::READABLE, attempt).await
            }
            read => read,
        };
        match read {
            // The peer has closed the connection without reading everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            read => read,
        }
    }
}

fn cut_off() -> io::Error {
    invalid("a message is cut off")
}

fn encode(kind: Kind, body: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(HEAD + body.len());
    frame.push(kind as u8);
    frame.extend(len.to_be_bytes());
    frame.extend(body);
    Ok(frame)
}

fn send_now(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let bytes = [IoSlice::new(bytes)];
    Ok(sendmsg(stream.as_fd(), &bytes, &mut control, FLAGS.0)?)
}

fn receive_now(stream: &UnixStream, buf: &mut [u8], received: &mut Received) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    // The kernel closes descriptors that there is no room for.
    let room = match received.most {
        0 => 0,
        _ => space.len(),
    };
    let mut control = RecvAncillaryBuffer::new(&mut space[..room]);
    let mut buf = [IoSliceMut::new(buf)];
    let message = recvmsg(stream.as_fd(), &mut buf, &mut control, FLAGS.1)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            for fd in fds {
                mark(&fd)?;
                received.fds.push(fd);
            }
        }
    }
    if received.most == 0 && message.flags.contains(ReturnFlags::CTRUNC)
        || received.fds.len() > received.most
    {
        let reason = format!("more than {} descriptors were sent", received.most);
        return Err(invalid(reason));
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        let reason = "the limit on open files is too low for the sockets; raise RLIMIT_NOFILE";
        return Err(io::Error::other(reason));
    }
    Ok(message.bytes)
}

/// Lets no child process inherit the descriptor.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn mark(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn mark(fd: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?)
}
