//! Values that are larger than a frame: bytes and descriptors, sent in parts.
//!
//! The receiver asks for every part, so one that hangs keeps the sender waiting for a question and
//! never for room in a buffer.

use super::{
    fields::invalid,
    wire::{Frame, Kind, MOST_BODY, MOST_DESCRIPTORS, Received, Wire},
};
use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};
use tokio::time::timeout;

/// The reason why an exchange ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The peer has closed the connection, or its process has ended.
    Gone,
    /// The peer did not answer in time.
    Silent,
    /// The peer has refused to continue.
    Refused(String),
    /// The peer broke the protocol, or the system failed.
    Broken(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Gone => f.write_str("the successor closed the connection"),
            Failure::Silent => f.write_str("the successor did not answer in time"),
            Failure::Refused(reason) => f.write_str(reason),
            Failure::Broken(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Gone,
            _ => Failure::Broken(error),
        }
    }
}

/// Sends `bytes` and `fds`, in answer to a question that was received already.
pub(super) async fn send(
    wire: &Wire,
    mut bytes: &[u8],
    mut fds: &[OwnedFd],
    patience: Duration,
) -> Result<(), Failure> {
    loop {
        let (part, later) = bytes.split_at(bytes.len().min(MOST_BODY));
        let (with, waiting) = fds.split_at(fds.len().min(MOST_DESCRIPTORS));
        (bytes, fds) = (later, waiting);
        let is_last = bytes.is_empty() && fds.is_empty();
        let kind = match is_last {
            true => Kind::Last,
            false => Kind::Part,
        };
        let with: Vec<_> = with.iter().map(AsFd::as_fd).collect();
        send_in_time(wire, kind, part, &with, patience).await?;
        if is_last {
            return Ok(());
        }
        expect(wire, Kind::Next, patience).await?;
    }
}

pub(super) async fn send_in_time(
    wire: &Wire,
    kind: Kind,
    body: &[u8],
    fds: &[BorrowedFd<'_>],
    patience: Duration,
) -> Result<(), Failure> {
    match timeout(patience, wire.send(kind, body, fds)).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(Failure::Silent),
    }
}

/// Waits for one question of the successor.
pub(super) async fn expect(
    wire: &Wire,
    kind: Kind,
    patience: Duration,
) -> Result<Vec<u8>, Failure> {
    match answer(wire, &mut Received::default(), patience).await? {
        frame if frame.kind == kind => Ok(frame.body),
        frame => Err(unexpected(&frame)),
    }
}

/// Sends a question. If the predecessor is gone, the answer that it left behind says why.
pub(super) async fn ask(
    wire: &Wire,
    kind: Kind,
    body: &[u8],
    patience: Duration,
) -> Result<(), Failure> {
    match send_in_time(wire, kind, body, &[], patience).await {
        Ok(()) | Err(Failure::Gone) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Waits for one frame.
pub(super) async fn answer(
    wire: &Wire,
    received: &mut Received,
    patience: Duration,
) -> Result<Frame, Failure> {
    match timeout(patience, wire.receive(received)).await {
        Ok(frame) => read(frame?),
        Err(_) => Err(Failure::Silent),
    }
}

/// Makes a failure of the end of the connection, and of a refusal.
pub(super) fn read(frame: Option<Frame>) -> Result<Frame, Failure> {
    match frame {
        None => Err(Failure::Gone),
        Some(frame) if frame.kind == Kind::Refused => {
            let reason = String::from_utf8_lossy(&frame.body);
            // The reason is printed, and the peer has chosen it.
            Err(Failure::Refused(reason.replace(char::is_control, "?")))
        }
        Some(frame) => Ok(frame),
    }
}

/// Receives what [`send`] sends, after a question.
pub(super) async fn receive(
    wire: &Wire,
    most_bytes: usize,
    most_fds: usize,
    patience: Duration,
) -> Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
    let mut bytes = Vec::new();
    let mut received = Received {
        fds: Vec::new(),
        most: most_fds,
    };
    loop {
        let frame = answer(wire, &mut received, patience).await?;
        bytes.extend_from_slice(&frame.body);
        if bytes.len() > most_bytes {
            let reason = format!("more than {most_bytes} bytes were sent");
            return Err(invalid(reason).into());
        }
        match frame.kind {
            Kind::Last => return Ok((bytes, received.fds)),
            Kind::Part => ask(wire, Kind::Next, &[], patience).await?,
            _ => return Err(unexpected(&frame)),
        }
    }
}

pub(super) fn unexpected(frame: &Frame) -> Failure {
    invalid(format!("an unexpected message arrived: {:?}", frame.kind)).into()
}
