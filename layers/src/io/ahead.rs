//! Reading ahead of a handler.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::ready};
use tokio::io::{AsyncRead, ReadBuf};

/// A ClientHello with a post-quantum key share fits in, and what is read at once with it.
const CHUNK: usize = 4096;

/// Reads what is there into `bytes`, `room` bytes at most, and returns how many. It goes through a buffer that exists
/// only while it is read, so a client that has sent nothing takes no memory. Cancel safe.
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
