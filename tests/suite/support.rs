//! Helpers shared by the modules: clients, handlers and a recording observer.

use reagent::{
    Acceptor, Addr, BoxError, Connection, ConnectionHandle, DrainReport, ErrorChain, IntoBinds,
    Listener, Observer, Outcome, Server, ServerHandle, SocketOptions, Transport, event, handle,
    testing::{Clients, MemoryListener},
};
use std::{
    collections::VecDeque,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
};
use tower::Service;

/// The time limit for any step of a test. A test that waits longer hangs.
pub const LONG: Duration = Duration::from_secs(20);

/// Echoes until the client has finished sending.
pub async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match conn.read(&mut buf).await? {
            0 => return Ok(()),
            n => conn.write_all(&buf[..n]).await?,
        }
    }
}

/// Starts an echo server on these addresses.
pub async fn serve(addrs: impl IntoBinds) -> ServerHandle {
    Server::bind(addrs)
        .start(handle(echo))
        .await
        .expect("to be started")
}

/// Returns the reason why a server on these addresses cannot be started.
pub async fn refusal(addrs: impl IntoBinds) -> String {
    let refused = Server::bind(addrs).start(handle(echo)).await;
    ErrorChain(&refused.expect_err("to be refused")).to_string()
}

/// Returns handles to the sockets that a server opens with these options.
pub fn keep_sockets(options: &mut SocketOptions) -> Arc<Mutex<Vec<socket2::Socket>>> {
    let kept = Arc::<Mutex<Vec<_>>>::default();
    let keep = kept.clone();
    options.before_bind(move |socket| {
        keep.lock().unwrap().push(socket.try_clone()?);
        Ok(())
    });
    kept
}

/// Stops the server once its clients have left.
pub async fn stop(server: &ServerHandle) {
    let report = server.drain(LONG).await;
    assert_eq!(
        (report.aborted, report.remaining),
        (0, 0),
        "connections stay open"
    );
}

/// A directory that is removed at the end of the test.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("reagent-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory for temporary files");
        Dir(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Formats a path for `Server::bind`.
pub fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Connects to the first address of the server.
pub async fn connect(server: &ServerHandle) -> TcpStream {
    connect_to(server.local_addr()).await
}

/// Connects to this address.
pub async fn connect_to(addr: &Addr) -> TcpStream {
    TcpStream::connect(addr.socket_addr().expect("a TCP address"))
        .await
        .expect("to be connected")
}

/// Returns whether `text` is echoed.
pub async fn echoes(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), text: &str) -> bool {
    let exchange = async {
        client.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await?;
        io::Result::Ok(answer == text.as_bytes())
    };
    matches!(tokio::time::timeout(LONG, exchange).await, Ok(Ok(true)))
}

/// Reads to the end. Returns an error if the connection was reset.
pub async fn rest(client: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match tokio::time::timeout(LONG, client.read_to_end(&mut bytes)).await {
        Ok(result) => result.map(|_| bytes),
        Err(_) => panic!("the connection is still open"),
    }
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(LONG, waiting).await.is_err() {
        panic!("not so after {LONG:?}: {what}");
    }
}

/// Waits for something that has to happen soon.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out"),
    }
}

/// With a paused clock, waits until all tasks are idle, since only then does the clock advance.
pub async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Runs a future concurrently with the test.
pub fn beside<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the runtime of the test"
    )]
    tokio::spawn(future)
}

/// Creates a server in memory. Also returns its clients and every connection it accepts.
pub fn memory_server() -> (Server, Clients, Accepted) {
    let (listener, clients) = MemoryListener::new();
    let (server, accepted) = accepted(Server::new(listener));
    (server, clients, accepted)
}

/// Creates a server on a free port. Also returns every connection it accepts.
pub fn tcp_server() -> (Server, Accepted) {
    accepted(Server::bind("127.0.0.1:0"))
}

/// Returns the server together with every connection it accepts.
pub fn accepted(server: Server) -> (Server, Accepted) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (server.observe(PassOn(sender)), Accepted(receiver))
}

/// The connections accepted by a server, in order.
pub struct Accepted(mpsc::UnboundedReceiver<ConnectionHandle>);

impl Accepted {
    /// Waits for the next connection.
    pub async fn next(&mut self) -> ConnectionHandle {
        soon(self.0.recv()).await.expect("a server that goes on")
    }

    /// Waits for the next connection, and returns its outcome.
    pub async fn outcome(&mut self) -> Outcome {
        let connection = self.next().await;
        soon(connection.closed()).await
    }
}

struct PassOn(mpsc::UnboundedSender<ConnectionHandle>);

impl Observer for PassOn {
    fn connection_started(&self, connection: &ConnectionHandle) {
        let _ = self.0.send(connection.clone());
    }
}

/// A listener whose clients are arbitrary streams, pushed by the test.
#[derive(Clone)]
pub struct StreamListener(Arc<Queue>);

#[derive(Default)]
struct Queue {
    streams: Mutex<VecDeque<Transport>>,
    acceptors: Mutex<Vec<Waker>>,
}

impl StreamListener {
    /// Creates the listener and a handle for pushing clients.
    pub fn new() -> (Self, Self) {
        let listener = StreamListener(Arc::default());
        (listener.clone(), listener)
    }

    /// Adds a client to the queue.
    pub fn push(&self, stream: Transport) {
        self.0.streams.lock().unwrap().push_back(stream);
        let acceptors = std::mem::take(&mut *self.0.acceptors.lock().unwrap());
        acceptors.into_iter().for_each(Waker::wake);
    }
}

impl Listener for StreamListener {
    fn local_addr(&self) -> Addr {
        Addr::Other("streams".into())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.acceptors.lock().unwrap().push(cx.waker().clone());
        match self.0.streams.lock().unwrap().is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn try_accept(&mut self) -> io::Result<reagent::Accepted> {
        let stream = self.0.streams.lock().unwrap().pop_front();
        let stream = stream.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(reagent::Accepted::new(stream, self.local_addr()))
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.clone()))
    }
}

/// Records events, one line each.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Returns all events so far.
    pub fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the number of events with this prefix.
    pub fn count(&self, start: &str) -> usize {
        self.events()
            .iter()
            .filter(|event| event.starts_with(start))
            .count()
    }

    /// Waits until there are `count` events with this prefix.
    pub async fn wait_for(&self, start: &str, count: usize) {
        until(
            &format!("{count} × {start}, among {:?}", self.events()),
            || self.count(start) >= count,
        )
        .await;
    }

    /// Adds an event of the test.
    pub fn add(&self, event: String) {
        self.0.lock().unwrap().push(event);
    }
}

impl Observer for Log {
    fn listener_started(&self, _: &event::Listening<'_>) {
        self.add("listener started".to_owned());
    }

    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        self.add(format!("listener lost: {}", event.error));
    }

    fn listener_reopen_failed(&self, event: &event::ListenerReopenFailed<'_>) {
        self.add(format!(
            "listener reopen failed: {}, retry in {:?}",
            event.error, event.retry_in
        ));
    }

    fn listener_reopened(&self, _: &event::Listening<'_>) {
        self.add("listener reopened".to_owned());
    }

    fn listener_stopped(&self, _: &event::Listening<'_>) {
        self.add("listener stopped".to_owned());
    }

    fn acceptor_started(&self, acceptor: &Acceptor) {
        self.add(format!("acceptor started: {}", acceptor.index));
    }

    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        self.add(format!(
            "acceptor failed: {}: {}",
            event.acceptor.index, event.error
        ));
    }

    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        self.add(format!("acceptor stopped: {}", acceptor.index));
    }

    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        self.add(format!("accept failed: {:?}: {}", event.class, event.error));
    }

    fn exhausted(&self, event: &event::Exhausted<'_>) {
        self.add(format!("exhausted: {}", event.error));
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        self.add(format!(
            "exhaustion ended: {} turned away",
            event.turned_away
        ));
    }

    fn limit_reached(&self, _: &Acceptor) {
        self.add("limit reached".to_owned());
    }

    fn limit_waited(&self, _: &event::LimitWaited<'_>) {
        self.add("limit waited".to_owned());
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        self.add(format!("connection started: {}", connection.id()));
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.add(format!(
            "connection ended: {}: {}",
            event.connection.id(),
            event.outcome
        ));
    }

    fn lame_duck_started(&self, event: &event::LameDuckStarted) {
        self.add(format!("lame duck started: {:?}", event.lasts));
    }

    fn drain_started(&self, event: &event::DrainStarted) {
        self.add(format!("drain started: {}", event.open));
    }

    fn drain_ended(&self, report: &DrainReport) {
        self.add(format!(
            "drain ended: {} finished, {} aborted",
            report.finished, report.aborted
        ));
    }
}

/// With a paused clock, lets everything run that does not wait for time to pass.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Counts its guards, and records the maximum. As an observer, it counts connections.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Mutex<(usize, usize)>>);

impl Gauge {
    /// Counts one more until the guard is dropped.
    pub fn enter(&self) -> Inside {
        self.add();
        Inside(self.clone())
    }

    /// Returns the current count.
    pub fn now(&self) -> usize {
        self.0.lock().unwrap().0
    }

    /// Returns the highest count so far.
    pub fn most(&self) -> usize {
        self.0.lock().unwrap().1
    }

    /// Resets the maximum to the current count.
    pub fn forget(&self) {
        let mut state = self.0.lock().unwrap();
        state.1 = state.0;
    }

    fn add(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        state.1 = state.1.max(state.0);
    }

    fn remove(&self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

impl Observer for Gauge {
    fn connection_started(&self, _: &ConnectionHandle) {
        self.add();
    }

    fn connection_ended(&self, _: &event::ConnectionEnded<'_>) {
        self.remove();
    }
}

/// A guard counted by a [`Gauge`].
#[derive(Debug)]
pub struct Inside(Gauge);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// A service whose readiness fails a given number of times, counted over all clones.
#[derive(Clone, Debug)]
pub struct Moody<S> {
    inner: S,
    failures: Arc<AtomicUsize>,
}

impl<S> Moody<S> {
    /// Creates the service, and the counter of failures to come.
    pub fn new(inner: S) -> (Self, Arc<AtomicUsize>) {
        let failures = Arc::new(AtomicUsize::new(0));
        (
            Moody {
                inner,
                failures: failures.clone(),
            },
            failures,
        )
    }
}

impl<S> Service<Connection> for Moody<S>
where
    S: Service<Connection, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self
            .failures
            .fetch_update(SeqCst, SeqCst, |failures| failures.checked_sub(1))
            .is_ok()
        {
            return Poll::Ready(Err("in a bad mood".into()));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        self.inner.call(conn)
    }
}

/// A pseudorandom generator with the same sequence in every run (xorshift, Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `end`.
    pub fn roll(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Runs one test of this binary under strace with this variable set, and returns the traced calls.
/// Prints a message and returns `None` if strace does not work.
pub async fn traced(call: &str, test: &str, variable: &str) -> Option<String> {
    let dir = Dir::new();
    let calls = dir.path("calls");
    let mut strace = tokio::process::Command::new("strace");
    strace.args(["-f", "-e", &format!("trace={call}"), "-o"]);
    strace.arg(&calls).arg(std::env::current_exe().unwrap());
    strace.args(["--exact", "--include-ignored", test]);
    match strace.env(variable, "1").output().await {
        Ok(output) if output.status.success() => Some(std::fs::read_to_string(&calls).unwrap()),
        output => {
            crate::skipped::skipped(format_args!("strace does not work here: {output:?}"));
            None
        }
    }
}
