//! A paused clock advances as with a plain Tokio accept loop, because an idle server has no timers.

use crate::support::{beside, connect, echo, stop};
use reagent::{Connection, Server, handle};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    time::{Instant, advance, sleep_until},
};

/// A store whose keys expire in one background task, as in mini-redis.
#[derive(Clone, Default)]
struct Store(Arc<Shared>);

#[derive(Default)]
struct Shared {
    entries: Mutex<BTreeMap<String, (String, Instant)>>,
    changed: Notify,
}

impl Store {
    fn new() -> Self {
        let store = Store::default();
        beside(store.clone().purge());
        store
    }

    async fn purge(self) {
        loop {
            let next = {
                let mut entries = self.0.entries.lock().unwrap();
                entries.retain(|_, (_, at)| *at > Instant::now());
                entries.values().map(|(_, at)| *at).min()
            };
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.0.changed.notified() => {}
                },
                None => self.0.changed.notified().await,
            }
        }
    }

    async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut io = BufStream::new(io);
        let mut line = String::new();
        while io.read_line(&mut line).await? > 0 {
            let words: Vec<_> = line.split_whitespace().collect();
            let answer = match words[..] {
                ["SET", key, value, seconds] => {
                    let at = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
                    let value = (value.to_owned(), at);
                    self.0.entries.lock().unwrap().insert(key.to_owned(), value);
                    self.0.changed.notify_one();
                    "OK".to_owned()
                }
                ["GET", key] => {
                    let entries = self.0.entries.lock().unwrap();
                    entries
                        .get(key)
                        .map_or("nil".to_owned(), |(value, _)| value.clone())
                }
                _ => unreachable!("{line}"),
            };
            line.clear();
            io.write_all(format!("{answer}\n").as_bytes()).await?;
            io.flush().await?;
        }
        Ok(())
    }
}

async fn ask(client: &mut TcpStream, request: &str, answer: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut got = vec![0; answer.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), answer, "to {request}");
}

/// The test `key_value_timeout` of mini-redis. Returns how far the clock advanced.
async fn a_key_expires(addr: SocketAddr) -> Duration {
    let began = Instant::now();
    let mut client = TcpStream::connect(addr).await.unwrap();
    ask(&mut client, "SET hello world 1\n", "OK\n").await;
    ask(&mut client, "GET hello\n", "world\n").await;
    advance(Duration::from_secs(1)).await;
    ask(&mut client, "GET hello\n", "nil\n").await;
    began.elapsed()
}

async fn with_a_loop_of_tokio() -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let store = Store::new();
    let accept = beside(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            beside(store.clone().serve(client));
        }
    });
    let took = a_key_expires(addr).await;
    accept.abort();
    took
}

async fn with_a_server() -> Duration {
    let store = Store::new();
    let server = Server::bind("127.0.0.1:0")
        .max_connections(250)
        .start(handle(move |conn: Connection| {
            let draining = conn.draining();
            let serving = store.clone().serve(conn);
            async move {
                tokio::select! {
                    served = serving => served,
                    () = draining => Ok(()),
                }
            }
        }))
        .await
        .unwrap();
    let took = a_key_expires(server.local_addr().socket_addr().unwrap()).await;
    stop(&server).await;
    took
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_moves_as_with_a_loop_of_tokio() {
    assert_eq!(with_a_server().await, with_a_loop_of_tokio().await);
}

#[tokio::test(start_paused = true)]
async fn a_server_and_its_idle_connections_have_no_timer() {
    let began = Instant::now();
    let server = Server::bind("127.0.0.1:0")
        .max_connections(1)
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    ask(&mut client, "hello\n", "hello\n").await;
    // A client that waits at the limit.
    let waiting = connect(&server).await;
    // If there were a timer, the clock would advance to it while the runtime is idle.
    let (done, is_done) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        #[expect(clippy::disallowed_methods, reason = "a thread without a runtime")]
        std::thread::sleep(Duration::from_millis(50));
        let _ = done.send(());
    });
    is_done.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    ask(&mut client, "bye\n", "bye\n").await;
    thread.join().unwrap();
    drop((client, waiting));
    stop(&server).await;
}
