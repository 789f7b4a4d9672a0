//! Services that do not answer every frame.

use super::{Client, FramedLayer, LinesCodec, SECOND, lines, start};
use crate::support::until;
use bytes::{BufMut, BytesMut};
use reagent::{BoxError, Outcome};
use reagent_layers::framed::{
    Client as Facts, FramedMakeLayer, OnError,
    codec::{Decoder, Encoder},
};
use std::{convert::Infallible, io};
use tower::{ServiceBuilder, service_fn};

/// Answers every line except those starting with `#`. `!` fails.
async fn but_notes(line: String) -> Result<Option<String>, BoxError> {
    match line.as_str() {
        "!" => Err("no".into()),
        note if note.starts_with('#') => Ok(None),
        _ => Ok(Some(line)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_without_an_answer_sends_nothing_and_keeps_the_order_of_the_others() {
    for in_flight in [1, 8] {
        let layer = FramedLayer::new(LinesCodec::new()).in_flight(in_flight);
        let (server, clients) = start(layer, service_fn(but_notes)).await;
        let mut client = Client::new(&clients).await;
        client.send("a\n#\nb\n#\n#\nc\n").await;
        for answer in ["a", "b", "c"] {
            assert_eq!(client.line().await, answer);
        }
        client.send("#\n#\n").await;
        // Nothing is left to write or to wait for.
        let report = server.drain(SECOND).await;
        assert_eq!((report.finished, report.aborted), (1, 0));
        assert_eq!(client.rest().await, "");
        assert!(matches!(server.ends.of(1).await, Outcome::Drained));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_and_last_answers_are_frames_whatever_the_response_is() {
    let layer = lines()
        .on_error(|error| OnError::Answer(error.to_string()))
        .close_after(|answer| answer == "bye");
    let (server, clients) = start(layer, service_fn(but_notes)).await;
    let mut client = Client::new(&clients).await;
    client.send("#\n!\nbye\nlate\n").await;
    assert_eq!(client.rest().await, "service error: no\nbye\n");
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn layers_for_requests_and_services_of_one_connection_may_leave_frames_unanswered() {
    let make = service_fn(|client: Facts<String>| async move {
        let pusher = client.pusher();
        let push = move |line: String| {
            let pusher = pusher.clone();
            async move {
                pusher.push(format!("{line}?")).await?;
                but_notes(line).await
            }
        };
        let service = ServiceBuilder::new()
            .timeout(SECOND)
            .service(service_fn(push));
        Ok::<_, Infallible>((LinesCodec::new(), service))
    });
    let (_server, clients) = start(FramedMakeLayer::new(), make).await;
    let mut client = Client::new(&clients).await;
    client.send("#\na\n").await;
    // Pushed frames are written even if there is no answer to precede.
    for line in ["#?", "a?", "a"] {
        assert_eq!(client.line().await, line);
    }
}

/// Encodes optional bytes.
#[derive(Clone)]
struct Both;

impl Decoder for Both {
    type Item = u8;
    type Error = io::Error;

    fn decode(&mut self, buf: &mut BytesMut) -> io::Result<Option<u8>> {
        Ok(match buf.is_empty() {
            true => None,
            false => Some(buf.split_to(1)[0]),
        })
    }
}

impl Encoder<u8> for Both {
    type Error = io::Error;

    fn encode(&mut self, byte: u8, buf: &mut BytesMut) -> io::Result<()> {
        buf.put_u8(byte);
        Ok(())
    }
}

impl Encoder<Option<u8>> for Both {
    type Error = io::Error;

    fn encode(&mut self, byte: Option<u8>, buf: &mut BytesMut) -> io::Result<()> {
        buf.put_u8(byte.unwrap_or(b'-'));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_encodes_both_needs_the_type_of_its_frames() {
    let service = service_fn(async |byte: u8| Ok::<_, Infallible>((byte != b'#').then_some(byte)));
    let (_server, clients) = start(FramedLayer::<_, u8>::new(Both), service).await;
    let mut client = Client::new(&clients).await;
    client.send("#a\n").await;
    assert_eq!(client.line().await, "a");
    let (server, clients) = start(FramedLayer::<_, Option<u8>>::new(Both), service).await;
    let mut client = Client::new(&clients).await;
    client.send("#a\n").await;
    assert_eq!(client.line().await, "-a");
    drop(client);
    until("the connection is over", || server.connection_count() == 0).await;
}
