//! One direction alone, between streams in memory.

use super::*;
use crate::relay::Resettable;
use std::{future::poll_fn, io::Cursor};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, Join, duplex, empty, join, repeat, sink};

/// A stream without a socket.
impl<R, W> Resettable for Join<R, W> {
    #[cfg(unix)]
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    #[cfg(windows)]
    fn socket(&self) -> Option<std::os::windows::io::BorrowedSocket<'_>> {
        None
    }
}

/// A writer that takes ten bytes at a time has the rest kept in a small buffer, not in a large
/// one.
#[tokio::test]
async fn a_few_bytes_are_held_in_a_small_buffer() {
    let sent: Vec<u8> = (0..100).collect();
    let mut reader = join(Cursor::new(sent.clone()), sink());
    let (writer, mut end) = duplex(10);
    let mut writer = join(empty(), writer);
    let mut transfer = Transfer::default();
    let mut scratch = BytesMut::new();
    let mut received = Vec::new();
    loop {
        let polled =
            poll_fn(|cx| Poll::Ready(transfer.poll(cx, &mut reader, &mut writer, &mut scratch)));
        if polled.await.is_ready() {
            break;
        }
        assert!(scratch.capacity() > 0, "others can have the buffer");
        let held = transfer.held.capacity();
        assert!((1..=100).contains(&held), "{held} bytes are held");
        end.read_buf(&mut received).await.unwrap();
    }
    drop(writer);
    end.read_to_end(&mut received).await.unwrap();
    assert_eq!((received, transfer.copied()), (sent, 100));
}

/// A reader that always has more data gets its turn, and then other tasks get theirs.
#[tokio::test]
async fn a_turn_is_short() {
    let (mut reader, mut writer) = (join(repeat(1), sink()), join(empty(), sink()));
    let mut transfer = Transfer::default();
    let mut turns = 0;
    let three = poll_fn(|cx| {
        let polled = transfer.poll(cx, &mut reader, &mut writer, &mut BytesMut::new());
        assert!(polled.is_pending());
        turns += 1;
        // The next turn comes without a wakeup from outside.
        if turns < 3 {
            polled.map(drop)
        } else {
            Poll::Ready(())
        }
    });
    tokio::time::timeout(std::time::Duration::from_secs(20), three)
        .await
        .expect("three turns");
    let each = transfer.copied() / 3;
    assert!((1..=256 * 1024).contains(&each), "{each} bytes in a turn");
}

#[tokio::test]
async fn written_bytes_are_flushed_when_nothing_follows() {
    let (mut client, reader) = duplex(10);
    let mut reader = join(reader, sink());
    let (writer, mut end) = duplex(10);
    let mut writer = join(empty(), BufWriter::new(writer));
    let mut transfer = Transfer::default();
    client.write_all(b"hello").await.unwrap();
    poll_fn(|cx| {
        let polled = transfer.poll(cx, &mut reader, &mut writer, &mut BytesMut::new());
        assert!(polled.is_pending());
        Poll::Ready(())
    })
    .await;
    let mut received = [0; 5];
    let reading = end.read_exact(&mut received);
    tokio::time::timeout(std::time::Duration::from_secs(20), reading)
        .await
        .expect("flushed")
        .unwrap();
    assert_eq!(&received, b"hello");
}
