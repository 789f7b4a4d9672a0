//! An upstream that answers and resets the connection at once.

use super::{gateway, in_time, proxies::Haproxy};
use reagent_layers::connect::{Connect, Target};
use socket2::SockRef;
use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};
use tokio::{io::AsyncReadExt, task::JoinSet};
use tower::ServiceExt;

const ANSWER: &[u8] = b"421 too many connections\r\n";

/// Starts an upstream that ends with the tests.
fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(ANSWER).unwrap();
            let linger = Some(Duration::ZERO);
            SockRef::from(&stream).set_linger(linger).unwrap();
        }
    });
    addr.to_string()
}

/// Returns how many of 800 clients have not got the answer, and how many saw an orderly end.
async fn ask(proxy: SocketAddr) -> (usize, usize) {
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        clients.spawn(async move {
            let (mut lost, mut orderly) = (0, 0);
            for _ in 0..50 {
                // `TcpStream::connect` may find the reset and lose the answer.
                let client = Connect::new().oneshot(Target::Addr(proxy)).await;
                let (mut client, mut answer) = (client.unwrap(), Vec::new());
                let ended = client.read_to_end(&mut answer).await;
                lost += usize::from(answer != ANSWER);
                orderly += usize::from(ended.is_ok());
                if let Err(error) = ended {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                }
            }
            (lost, orderly)
        });
    }
    let counts = in_time(clients.join_all()).await.into_iter();
    counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[tokio::test]
async fn every_client_gets_the_answer_before_a_reset_and_the_reset() {
    let (one, other) = (upstream(), upstream());
    let options: [&[&str]; 4] = [
        &[],
        &["--proxy-out", "v2"],
        &["--to", &other],
        &["--to", &other, "--proxy-out", "v1"],
    ];
    for options in options {
        let gateway = gateway(&one, options).await;
        let counts = ask(gateway.addr.parse().unwrap()).await;
        assert_eq!(counts, (0, 0), "{options:?}");
    }
}

/// It may lose a few answers under load, so they are not counted.
#[tokio::test]
async fn haproxy_ends_such_connections_in_order() {
    let Some(haproxy) = Haproxy::start("", &upstream(), None) else {
        return;
    };
    let (_, orderly) = ask(haproxy.addr).await;
    assert_eq!(orderly, 800);
}
