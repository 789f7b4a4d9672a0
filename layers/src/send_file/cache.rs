//! Reads that do not make the runtime wait for the disk.

use super::read_at::read_at;
use std::{fs::File, io, sync::Arc};
use tokio::task::spawn_blocking;

/// Reads the file at `offset` into `buf`, and returns it with the number of bytes read.
///
/// Not cancel safe: the buffer is lost.
pub(super) async fn read(
    file: &Arc<File>,
    mut buf: Vec<u8>,
    offset: u64,
) -> io::Result<(Vec<u8>, usize)> {
    if let Some(n) = read_cached(file, &mut buf, offset) {
        return Ok((buf, n?));
    }
    let file = file.clone();
    let read = spawn_blocking(move || {
        let n = retry(|| read_at(&file, &mut buf, offset))?;
        Ok((buf, n))
    });
    read.await?
}

/// Reads the part of the file into the page cache, unless it is there.
#[cfg(target_os = "linux")]
pub(super) async fn warm(file: &Arc<File>, offset: u64, len: usize) -> io::Result<()> {
    let last = offset + len as u64 - 1;
    if read_cached(file, &mut [0], last).is_some() {
        return Ok(());
    }
    let file = file.clone();
    let warming = spawn_blocking(move || {
        let (mut at, end) = (offset, last + 1);
        let mut scratch = vec![0; 64 * 1024];
        while at < end {
            match retry(|| read_at(&file, &mut scratch, at))? {
                0 => break,
                n => at += n as u64,
            }
        }
        Ok(())
    });
    warming.await?
}

/// Reads what is in the page cache; `None` if that would have to wait for the disk.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buf: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut bufs = [io::IoSliceMut::new(buf)];
    match preadv2(file, &mut bufs, offset, ReadWriteFlags::NOWAIT) {
        // Not in memory, or the file system does not tell.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS) => None,
        read => Some(read.map_err(Into::into)),
    }
}

/// The system does not tell what is in memory.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> Option<io::Result<usize>> {
    None
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
