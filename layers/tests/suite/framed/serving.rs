//! Order, batching, back pressure and fairness.

use super::{Client, SECOND, after, lines, same, start};
use crate::support::until;
use bytes::{Buf, BytesMut};
use reagent::{BoxError, BoxIo, Connection};
use reagent_layers::framed::{
    FramedLayer, FramedMakeLayer,
    codec::{Decoder, Encoder},
};
use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::Semaphore,
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn, util::MapRequestLayer};

#[tokio::test(start_paused = true)]
async fn half_a_frame_does_not_reach_the_service() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn({
        let seen = seen.clone();
        move |line: String| {
            seen.lock().unwrap().push(line.clone());
            same(line)
        }
    });
    let (_server, clients) = start(lines(), service).await;
    let mut client = Client::new(&clients).await;
    for piece in ["he", "l", "lo\nwor"] {
        assert!(seen.lock().unwrap().is_empty());
        client.send(piece).await;
        sleep(SECOND).await;
    }
    assert_eq!(*seen.lock().unwrap(), ["hello"]);
    client.send("ld\n").await;
    assert_eq!(client.line().await, "hello");
    assert_eq!(client.line().await, "world");
}

#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_unless_more_are_allowed() {
    for (in_flight, takes) in [(1, 700), (2, 600), (3, 600), (4, 400)] {
        let layer = lines().in_flight(in_flight);
        let (_server, clients) = start(layer, service_fn(after)).await;
        let mut client = Client::new(&clients).await;
        let began = Instant::now();
        client.send("200\n0\n100\n400\n").await;
        for answer in ["200", "0", "100", "400"] {
            assert_eq!(client.line().await, answer);
        }
        let took = began.elapsed().as_millis();
        // A Tokio timer may be up to a millisecond late.
        assert!((takes..takes + 10).contains(&took), "{in_flight}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_ready_do_not_wait_for_later_ones() {
    let (_server, clients) = start(lines(), service_fn(after)).await;
    let mut client = Client::new(&clients).await;
    client.send("0\n0\n100000\n").await;
    let began = Instant::now();
    assert_eq!(client.line().await, "0");
    assert_eq!(client.line().await, "0");
    assert!(began.elapsed() < SECOND);
}

/// Counts writes.
struct Counted(BoxIo, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, SeqCst);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_by_one_write() {
    let writes = Arc::new(AtomicUsize::new(0));
    let counting = MapRequestLayer::new({
        let writes = writes.clone();
        move |conn: Connection| conn.map_io(|io| Counted(io, writes.clone()))
    });
    let service = lines().layer(service_fn(same));
    let (_server, clients) = start(counting, service).await;
    let mut client = Client::new(&clients).await;
    for batch in 1..4 {
        client.send(&"hello\n".repeat(1000)).await;
        for _ in 0..1000 {
            assert_eq!(client.line().await, "hello");
        }
        assert_eq!(writes.load(SeqCst), batch);
    }
}

/// A service that is ready when it has a permit.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    polled: permit::Waiting,
}

mod permit {
    use std::{pin::Pin, sync::Arc};
    use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

    type Acquiring =
        Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

    /// A pending acquisition, which clones do not share.
    #[derive(Default)]
    pub struct Waiting(pub Option<Acquiring>);

    impl Waiting {
        pub fn get(&mut self, permits: &Arc<Semaphore>) -> &mut Acquiring {
            let permits = permits.clone();
            self.0
                .get_or_insert_with(|| Box::pin(permits.acquire_owned()))
        }
    }

    impl Clone for Waiting {
        fn clone(&self) -> Self {
            Waiting(None)
        }
    }
}

impl Gate {
    fn new() -> Self {
        Gate {
            permits: Arc::new(Semaphore::new(0)),
            waiting: Arc::default(),
            served: Arc::default(),
            polled: permit::Waiting::default(),
        }
    }
}

impl Service<String> for Gate {
    type Response = String;
    type Error = BoxError;
    type Future = Ready<Result<String, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.polled.get(&self.permits).as_mut().poll(cx) {
            Poll::Ready(permit) => {
                self.polled.0 = None;
                permit?.forget();
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                self.waiting.fetch_add(1, SeqCst);
                Poll::Pending
            }
        }
    }

    fn call(&mut self, line: String) -> Self::Future {
        self.served.fetch_add(1, SeqCst);
        ready(Ok(line))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_the_service_is_not_ready() {
    let gate = Gate::new();
    let (server, clients) = start(lines(), gate.clone()).await;
    let (mut reader, mut writer) = tokio::io::split(clients.connect().await.unwrap());
    sleep(SECOND).await;
    assert_eq!(
        gate.waiting.load(SeqCst),
        0,
        "an idle client reserves nothing"
    );

    let sending = async {
        let lines = "0123456\n".repeat(100_000);
        writer.write_all(lines.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let reading = async {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let opening = async {
        sleep(SECOND).await;
        let read = server.connection(1).unwrap().bytes_read();
        assert!(read <= 64 * 1024, "{read} bytes read");
        assert_eq!(gate.served.load(SeqCst), 0);
        gate.permits.add_permits(3);
        sleep(SECOND).await;
        assert_eq!(gate.served.load(SeqCst), 3);
        gate.permits.add_permits(1_000_000);
    };
    let ((), answers, ()) = tokio::join!(sending, reading, opening);
    assert_eq!(answers.len(), 800_000);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_requests_are_answered_in_order_whenever_the_client_reads() {
    const REQUESTS: usize = 100_000;
    let served = Arc::new(AtomicUsize::new(0));
    let service = service_fn({
        let served = served.clone();
        move |line: String| {
            served.fetch_add(1, SeqCst);
            same(line)
        }
    });
    let (server, clients) = start(lines(), service).await;
    let (mut reader, mut writer) = tokio::io::split(clients.connect().await.unwrap());
    let requests: String = (0..REQUESTS).map(|i| format!("{i:09}\n")).collect();
    let sending = async {
        writer.write_all(requests.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let reading = async {
        sleep(20 * SECOND).await;
        // 64 KiB in the pipe and 64 KiB waiting for it, at ten bytes per answer.
        let done = served.load(SeqCst);
        assert!(done <= 2 * 6554 + 1, "{done} were served");
        let read = server.connection(1).unwrap().bytes_read();
        assert!(read <= 4 * 64 * 1024, "{read} bytes read");
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let ((), answers) = tokio::join!(sending, reading);
    assert!(answers == requests);
}

#[tokio::test]
async fn an_endless_sender_does_not_starve_others() {
    let served = Arc::new(AtomicUsize::new(0));
    let service = service_fn({
        let served = served.clone();
        move |line: String| {
            served.fetch_add(1, SeqCst);
            same(line)
        }
    });
    let (_server, clients) = start(lines(), service).await;
    let (mut reader, mut writer) = tokio::io::split(clients.connect().await.unwrap());
    let flood = async {
        let lines = "x\n".repeat(16 * 1024);
        loop {
            writer.write_all(lines.as_bytes()).await.unwrap();
        }
    };
    let swallow = async {
        let mut buf = vec![0; 64 * 1024];
        while reader.read(&mut buf).await.unwrap() > 0 {}
    };
    // In a spawned task, because Tokio polls the future of `block_on` less often than tasks.
    let mut others = tokio::task::JoinSet::new();
    others.spawn(async move {
        until("the flood flows", || served.load(SeqCst) > 100_000).await;
        let mut client = Client::new(&clients).await;
        client.send("me\n").await;
        assert_eq!(client.line().await, "me");
        for _ in 0..100 {
            let before = served.load(SeqCst);
            client.send("me\n").await;
            assert_eq!(client.line().await, "me");
            let between = served.load(SeqCst) - before;
            // A few turns of 128.
            assert!(
                between <= 4 * 128,
                "{between} of the other were served in between"
            );
        }
    });
    tokio::select! {
        () = flood => {}
        () = swallow => {}
        done = others.join_next() => done.unwrap().unwrap(),
    }
}

/// A codec whose frames are single bytes.
#[derive(Clone)]
struct Bytes;

impl Decoder for Bytes {
    type Item = u8;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<u8>> {
        Ok((!src.is_empty()).then(|| src.get_u8()))
    }
}

impl Encoder<u8> for Bytes {
    type Error = io::Error;

    fn encode(&mut self, byte: u8, out: &mut BytesMut) -> io::Result<()> {
        out.extend_from_slice(&[byte]);
        Ok(())
    }
}

#[test]
fn a_frame_costs_no_allocation_and_an_idle_connection_no_buffer() {
    const CLIENTS: usize = 100;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let service = service_fn(|byte: u8| ready(Ok::<_, BoxError>(byte)));
    let (_server, clients) = runtime.block_on(start(FramedLayer::new(Bytes), service));
    let mut idle = Vec::with_capacity(CLIENTS);
    let exchange = |idle: &mut Vec<DuplexStream>| {
        runtime.block_on(async {
            let mut bytes = [7; 1000];
            for client in idle {
                client.write_all(&bytes).await.unwrap();
                client.read_exact(&mut bytes).await.unwrap();
            }
        });
    };
    let used = allocation_counter::measure(|| {
        idle.extend((0..CLIENTS).map(|_| runtime.block_on(clients.connect()).unwrap()));
        exchange(&mut idle);
    });
    // Including the pipes and the two buffers of this thread.
    let each = used.bytes_current / CLIENTS as i64;
    assert!(each < 8 * 1024, "{each} bytes a connection");

    let used = allocation_counter::measure(|| exchange(&mut idle));
    assert!(used.count_total < 10 * CLIENTS as u64, "{used:?}");
}

#[tokio::test(start_paused = true)]
async fn frames_that_came_before_the_end_are_answered() {
    let (server, clients) = start(lines(), service_fn(after)).await;
    let mut client = Client::new(&clients).await;
    client.send("100\n200\n300").await;
    client.0.shutdown().await.unwrap();
    // The codec treats the end of input as the end of a line.
    assert_eq!(client.rest().await, "100\n200\n300\n");
    assert_eq!(server.ends.of(1).await.as_str(), "completed");
}

#[tokio::test(start_paused = true)]
async fn making_the_service_holds_back_the_accept() {
    let gate = Gate::new();
    let make = gate
        .clone()
        .map_request(|client: reagent_layers::framed::Client<String>| {
            client.handle().id().to_string()
        });
    let make = make.map_response(|id: String| {
        let service = service_fn(move |line: String| same(format!("{id}: {line}")));
        (reagent_layers::framed::codec::LinesCodec::new(), service)
    });
    let (server, clients) = start(FramedMakeLayer::new(), make).await;
    let mut client = Client::new(&clients).await;
    sleep(SECOND).await;
    assert_eq!((clients.waiting(), server.connection_count()), (1, 0));
    gate.permits.add_permits(1);
    client.send("hello\n").await;
    assert_eq!(client.line().await, "1: hello");
}
