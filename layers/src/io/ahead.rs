//! Reads bytes before the handler does.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Large enough for a ClientHello with a post-quantum key share and what comes with it.
const CHUNK: usize = 4096;

/// Reads up to `room` available bytes into `bytes`, and returns their number. They pass through a
/// buffer that exists only during a poll, so a client that has sent nothing takes no memory.
///
/// Cancel safe: a dropped future has read nothing.
pub(crate) async fn read_ahead(
    io: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    room: usize,
) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk[..room.min(CHUNK)]);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut chunk))?;
        bytes.extend_from_slice(chunk.filled());
        Ok(chunk.filled().len()).into()
    })
    .await
}
