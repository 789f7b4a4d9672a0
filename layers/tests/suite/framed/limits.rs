//! Limits of size and time.

use super::{Client, SECOND, failed, lines, same, start};
use bytes::{Buf, BytesMut};
use reagent::Outcome;
use reagent_layers::framed::{
    FRAME_TIMEOUT, FrameError, FramedLayer, OnError,
    codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec},
};
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use tower::service_fn;

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_too_large_ends_the_connection_after_what_was_before_it() {
    let too_large = "y".repeat(101);
    for (text, is_cut) in [(format!("{too_large}\nz\n"), false), (too_large, true)] {
        let layer = lines().max_frame(100).on_error(|error| {
            assert!(matches!(error, FrameError::TooLarge(100)));
            OnError::AnswerAndClose(format!("error: {error}"))
        });
        let (server, clients) = start(layer, service_fn(same)).await;
        let mut client = Client::new(&clients).await;
        let fits = "x".repeat(99);
        client.send(&format!("{fits}\n")).await;
        client.send(&text).await;
        assert_eq!(client.line().await, fits);
        assert_eq!(
            client.rest().await,
            "error: frame exceeds the maximum of 100 bytes\n",
            "{is_cut}"
        );
        drop(client);
        let outcome = server.ends.of(1).await;
        assert_eq!(failed(&outcome), "frame exceeds the maximum of 100 bytes");
    }
}

/// Moves the received part of a line to its own buffer.
#[derive(Clone, Default)]
struct Hoarder(Vec<u8>);

impl Decoder for Hoarder {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        while !src.is_empty() {
            match src.get_u8() {
                b'\n' => {
                    let line = std::mem::take(&mut self.0);
                    return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
                }
                byte => self.0.push(byte),
            }
        }
        Ok(None)
    }
}

impl Encoder<String> for Hoarder {
    type Error = io::Error;

    fn encode(&mut self, line: String, out: &mut BytesMut) -> io::Result<()> {
        LinesCodec::new()
            .encode(line, out)
            .map_err(io::Error::other)
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_kept_by_a_codec_count_too() {
    let layer = FramedLayer::new(Hoarder::default())
        .codec_buffers(true)
        .max_frame(100);
    let (server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    for _ in 0..3 {
        client.send(&format!("{}\n", "x".repeat(99))).await;
        assert_eq!(client.line().await.len(), 99);
    }
    for _ in 0..101 {
        client.send("y").await;
        sleep(SECOND / 10).await;
    }
    assert_eq!(client.rest().await, "");
    drop(client);
    let outcome = server.ends.of(1).await;
    assert_eq!(failed(&outcome), "frame exceeds the maximum of 100 bytes");
}

/// Lines, with empty lines as heartbeats that are skipped.
#[derive(Clone, Default)]
struct Heartbeats(LinesCodec);

impl Decoder for Heartbeats {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        while src.first() == Some(&b'\n') {
            src.advance(1);
        }
        self.0.decode(src).map_err(io::Error::other)
    }
}

impl Encoder<String> for Heartbeats {
    type Error = io::Error;

    fn encode(&mut self, line: String, out: &mut BytesMut) -> io::Result<()> {
        self.0.encode(line, out).map_err(io::Error::other)
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_that_the_codec_swallows_begin_no_frame() {
    let layer = FramedLayer::new(Heartbeats::default()).max_frame(100);
    let (_server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    // One heartbeat, and then silence.
    client.send("\n").await;
    sleep(3600 * SECOND).await;
    // Many heartbeats, alone and together with the start of a line that the next one completes.
    for _ in 0..1001 {
        client.send("\n").await;
        sleep(10 * SECOND).await;
    }
    client.send("\na").await;
    for _ in 0..10 {
        sleep(20 * SECOND).await;
        client.send("\n\na").await;
        assert_eq!(client.line().await, "a");
    }
}

/// The same with heartbeats of two bytes.
#[derive(Clone, Default)]
struct LongHeartbeats(LinesCodec);

impl Decoder for LongHeartbeats {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        while src.starts_with(b"\r\n") {
            src.advance(2);
        }
        self.0.decode(src).map_err(io::Error::other)
    }
}

impl Encoder<String> for LongHeartbeats {
    type Error = io::Error;

    fn encode(&mut self, line: String, out: &mut BytesMut) -> io::Result<()> {
        self.0.encode(line, out).map_err(io::Error::other)
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_heartbeat_and_the_beginning_of_the_next_are_no_frame() {
    let layer = FramedLayer::new(LongHeartbeats::default());
    let (_server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("\r").await;
    for _ in 0..10 {
        sleep(20 * SECOND).await;
        client.send("\n\r").await;
    }
    client.send("\na\n").await;
    assert_eq!(client.line().await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_before_a_part_of_a_frame_gives_it_no_more_time() {
    let layer = FramedLayer::new(Heartbeats::default());
    let (server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("\n\n").await;
    sleep(20 * SECOND).await;
    let began = Instant::now();
    let slow = async {
        client.send("\na").await;
        while client.0.write_all(b"x").await.is_ok() {
            sleep(SECOND).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = server.ends.of(1) => {
            assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == FRAME_TIMEOUT));
        }
        () = slow => {}
    }
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_says_so_has_its_length_count_as_the_beginning_of_a_frame() {
    for (codec_buffers, sent) in [(false, &[0, 0, 0, 9, 1][..]), (true, &[0, 0, 0, 9])] {
        let layer = FramedLayer::new(LengthDelimitedCodec::new()).codec_buffers(codec_buffers);
        let service = service_fn(async |bytes: BytesMut| Ok::<_, io::Error>(bytes.freeze()));
        let (server, clients) = start(layer, service).await;
        let mut client = clients.connect().await.unwrap();
        client.write_all(sent).await.unwrap();
        let began = Instant::now();
        let outcome = server.ends.of(1).await;
        assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == FRAME_TIMEOUT));
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_loris_has_thirty_seconds_for_a_frame_and_an_idle_client_has_no_limit() {
    let (server, clients) = start(lines(), service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    sleep(3600 * SECOND).await;
    client.send("not slow\n").await;
    assert_eq!(client.line().await, "not slow");
    sleep(3600 * SECOND).await;

    let began = Instant::now();
    let slow = async {
        while client.0.write_all(b"x").await.is_ok() {
            sleep(SECOND).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = server.ends.of(1) => {
            assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == "frame"));
        }
        () = slow => {}
    }
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_its_own_time() {
    let layer = lines().frame_timeout(10 * SECOND);
    let (server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("a").await;
    for _ in 0..10 {
        sleep(6 * SECOND).await;
        // The end of one frame and the start of the next.
        client.send("b\na").await;
        assert_eq!(client.line().await, "ab");
    }
    let began = Instant::now();
    assert!(matches!(server.ends.of(1).await, Outcome::TimedOut(limit) if limit.kind() == "frame"));
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_is_read_does_not_count() {
    // Half of the second frame has arrived when the answer to the first is too large for a client
    // that does not read.
    let layer = lines().frame_timeout(10 * SECOND).in_flight(2);
    let service = service_fn(async |line: String| {
        sleep(SECOND).await;
        same(line.repeat(200 * 1024)).await
    });
    let (_server, clients) = start(layer, service).await;
    let mut client = Client::new(&clients).await;
    client.send("x\ny").await;
    sleep(20 * SECOND).await;
    assert_eq!(client.line().await.len(), 200 * 1024);
    sleep(8 * SECOND).await;
    client.send("\n").await;
    assert_eq!(client.line().await.len(), 200 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_has_thirty_seconds() {
    let service = service_fn(|_: String| same("z".repeat(200 * 1024)));
    let (server, clients) = start(lines(), service).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"x\n").await.unwrap();
    sleep(20 * SECOND).await;
    // Progress restarts the timeout.
    client.read_exact(&mut vec![0; 64 * 1024]).await.unwrap();
    let began = Instant::now();
    assert!(matches!(server.ends.of(1).await, Outcome::TimedOut(limit) if limit.kind() == "write"));
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_has_no_more_time_than_others() {
    let layer = lines().close_after(|_| true).write_timeout(7 * SECOND);
    let service = service_fn(|_: String| same("z".repeat(200 * 1024)));
    let (server, clients) = start(layer, service).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"x\n").await.unwrap();
    let began = Instant::now();
    assert!(matches!(server.ends.of(1).await, Outcome::TimedOut(limit) if limit.kind() == "write"));
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn large_frames_come_through_within_the_limit() {
    let layer = lines().max_frame(1024 * 1024);
    let (_server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    for len in [5_000, 70_000, 1_000_000] {
        let line = "x".repeat(len);
        // The pipe is smaller, so the line is read in between.
        client.send(&format!("{line}\n")).await;
        assert_eq!(client.line().await, line);
    }
}
