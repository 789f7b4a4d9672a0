//! Upstreams that answer and reset the connection at once.

use super::places::{at, in_time};
use crate::{
    support::{Ends, Served, beside},
    tls::pki::Dir,
};
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::{
    connect::{Connect, ConnectErrorKind, ConnectRequest, Target},
    proxy_protocol::Header,
    relay::{RelayError, relay},
};
use socket2::SockRef;
use std::{
    future::{Future, poll_fn},
    io::{ErrorKind, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    pin::{Pin, pin},
    task::Poll,
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tower::ServiceExt;

const ANSWER: &[u8] = b"421 too many connections\r\n";

/// Accepts a connection, answers and resets it, without having read anything.
fn answer_and_reset(listener: &TcpListener, answer: &[u8]) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(answer).unwrap();
    let linger = Some(Duration::ZERO);
    SockRef::from(&stream).set_linger(linger).unwrap();
}

/// Begins to do something, and does the rest once `meanwhile` is over.
async fn interrupted<F: Future>(mut future: Pin<&mut F>, meanwhile: impl FnOnce()) -> F::Output {
    let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
    assert!(first.await.is_pending());
    meanwhile();
    in_time(future).await
}

/// The system reports a reset once, here to a write.
#[tokio::test]
async fn a_write_that_fails_with_the_reset_does_not_hide_it_from_reads() {
    let listener = TcpListener::bind(at(1, 0)).unwrap();
    let target = Target::Addr(listener.local_addr().unwrap());
    let connected = in_time(Connect::new().oneshot(target)).await;
    let mut io = connected.unwrap();
    answer_and_reset(&listener, ANSWER);
    let error = in_time(io.write_all(b"question")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let mut answer = Vec::new();
    let error = in_time(io.read_to_end(&mut answer)).await.unwrap_err();
    assert_eq!(answer, ANSWER);
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_before_a_reset_is_read_and_then_the_reset() {
    let listener = TcpListener::bind(at(1, 0)).unwrap();
    let target = listener.local_addr().unwrap();
    for preface in [&b""[..], b"PROXY UNKNOWN\r\n"] {
        let request = ConnectRequest::new(target).preface(preface);
        let connecting = pin!(Connect::new().oneshot(request));
        let connected = interrupted(connecting, || answer_and_reset(&listener, ANSWER)).await;
        let mut io = connected.unwrap();
        let mut answer = Vec::new();
        let error = in_time(io.read_to_end(&mut answer)).await.unwrap_err();
        assert_eq!(answer, ANSWER);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// Nothing was sent to it, so that the caller may try another.
#[tokio::test]
async fn a_reset_without_an_answer_fails_the_attempt() {
    let listener = TcpListener::bind(at(1, 0)).unwrap();
    let target = listener.local_addr().unwrap();
    let connecting = pin!(Connect::new().oneshot(Target::from(target)));
    let connected = interrupted(connecting, || answer_and_reset(&listener, b"")).await;
    let error = connected.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Connect);
    assert_eq!(error.io_kind(), ErrorKind::ConnectionReset);
}

/// A proxy whose upstream is at `target`.
async fn proxy(target: Target, has_header: bool) -> Served {
    let ends = Ends::default();
    let forward = move |conn: Connection| {
        let mut request = ConnectRequest::new(target.clone());
        async move {
            if has_header {
                request = request.preface(Header::of(&conn).encode()?);
            }
            let upstream = Connect::new().oneshot(request).await?;
            match relay(conn, upstream).await {
                Ok(_) | Err(RelayError::Upstream(_)) => Ok::<_, BoxError>(()),
                Err(error) => Err(error.into()),
            }
        }
    };
    let server = Server::bind("127.0.0.1:0").observe(ends.clone());
    let server = server.start(handle(forward)).await.unwrap();
    Served { server, ends }
}

/// Reads the answer through a proxy again and again, many clients at a time.
async fn expect_answers(proxy: &Served, ends: &'static [Option<ErrorKind>]) {
    let addr = proxy.local_addr().socket_addr().unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        clients.spawn(async move {
            for number in 0..100 {
                // The proxy may have answered and reset before `TcpStream::connect` returns.
                let client = Connect::new().oneshot(Target::Addr(addr)).await;
                let (mut client, mut answer) = (client.unwrap(), Vec::new());
                let ended = client.read_to_end(&mut answer).await;
                assert_eq!(answer, ANSWER, "{number}: {ended:?}");
                let kind = ended.err().map(|error| error.kind());
                assert!(ends.contains(&kind), "{kind:?}");
            }
        });
    }
    in_time(clients.join_all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_an_upstream_that_resets_gets_its_answer() {
    for has_header in [false, true] {
        let listener = TcpListener::bind(at(1, 0)).unwrap();
        let target = listener.local_addr().unwrap();
        // It ends with the tests.
        thread::spawn(move || {
            loop {
                answer_and_reset(&listener, ANSWER);
            }
        });
        let proxy = proxy(target.into(), has_header).await;
        expect_answers(&proxy, &[Some(ErrorKind::ConnectionReset)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_a_unix_socket_that_closes_gets_its_answer() {
    let dir = Dir::new();
    for has_header in [false, true] {
        let path = dir.path(if has_header { "header" } else { "plain" });
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            loop {
                listener.accept().unwrap().0.write_all(ANSWER).unwrap();
            }
        });
        let proxy = proxy(Target::unix(&path), has_header).await;
        // A header that was written and left unread makes it a reset.
        expect_answers(&proxy, &[None, Some(ErrorKind::ConnectionReset)]).await;
    }
}

/// A write takes the error of the reset, and what was queued before it is still read.
#[tokio::test]
async fn an_answer_survives_a_reset_while_the_question_is_written() {
    let listener = tokio::net::TcpListener::bind(at(1, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    let proxy = proxy(target.into(), false).await;
    let addr = proxy.local_addr().socket_addr().unwrap();
    let answering = beside(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            let stream = stream.into_std().unwrap();
            (&stream).write_all(ANSWER).unwrap();
            // The rest of the question is left unread, and so resets the connection.
        }
    });
    for _ in 0..300 {
        let mut client = TcpStream::connect(addr).await.unwrap();
        let (mut reader, mut writer) = client.split();
        let (mut question, mut answer) = (tokio::io::repeat(7), Vec::new());
        let writing = tokio::io::copy(&mut question, &mut writer);
        let reading = reader.read_to_end(&mut answer);
        let (wrote, read) = in_time(async { tokio::join!(writing, reading) }).await;
        // The system reports it once.
        let errors = [wrote.err(), read.err()].into_iter().flatten();
        let mut kinds = errors.map(|error| error.kind());
        assert!(kinds.any(|kind| kind == ErrorKind::ConnectionReset));
        assert_eq!(answer, ANSWER);
    }
    answering.abort();
}
