//! A server that waits for its successor, and what it carries.

use super::*;

/// State that consists of bytes.
pub(super) struct Bytes {
    name: &'static str,
    pub(super) value: Mutex<Vec<u8>>,
}

impl Bytes {
    pub(super) fn new(name: &'static str, value: &[u8]) -> Arc<Self> {
        Arc::new(Bytes {
            name,
            value: Mutex::new(value.to_vec()),
        })
    }

    pub(super) fn value(&self) -> Vec<u8> {
        self.value.lock().clone()
    }
}

impl Carried for Bytes {
    fn name(&self) -> &str {
        self.name
    }

    fn save(&self) -> Vec<u8> {
        match &*self.value() {
            b"panic" => panic!("cannot save"),
            value => value.to_vec(),
        }
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), BoxError> {
        match bytes {
            b"bad" => Err("unknown version".into()),
            b"bad panic" => panic!("cannot restore"),
            _ => {
                *self.value.lock() = bytes.to_vec();
                Ok(())
            }
        }
    }
}

/// A server that waits for its successor, and records what it is asked to do.
pub(super) struct Old {
    pub(super) listeners: Vec<(&'static str, Vec<SocketListener>)>,
    pub(super) events: Mutex<Vec<String>>,
    pub(super) never_pauses: AtomicBool,
}

impl Predecessor for Old {
    fn sockets(&self) -> usize {
        self.listeners
            .iter()
            .map(|(_, sockets)| sockets.len())
            .sum()
    }

    fn offer(&self, spare: &Spare) -> io::Result<Vec<Offer>> {
        let offer = |(requested, sockets): &(&str, Vec<SocketListener>)| {
            Ok(Offer {
                requested: (*requested).to_owned(),
                facts: sockets[0].facts(),
                sockets: sockets
                    .iter()
                    .map(|socket| spare.duplicate(socket.as_fd()))
                    .collect::<io::Result<_>>()?,
            })
        };
        self.listeners.iter().map(offer).collect()
    }

    async fn pause(&self, taken: &[usize]) {
        self.note(format!("pause {taken:?}"));
        if self.never_pauses.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    fn resume(&self) {
        self.note("resume".to_owned());
    }

    fn commit(&self, taken: &[usize], _: Option<u32>) {
        self.note(format!("commit {taken:?}"));
        for index in taken {
            self.listeners[*index]
                .1
                .iter()
                .for_each(SocketListener::give_up);
        }
    }

    fn retract(&self, _: &str) {}

    fn abandon(&self) {
        self.note("abandon".to_owned());
        let sockets = self.listeners.iter().flat_map(|(_, sockets)| sockets);
        sockets.for_each(SocketListener::give_up);
    }
}

impl Old {
    pub(super) fn new(listeners: Vec<(&'static str, Vec<SocketListener>)>) -> Arc<Self> {
        Arc::new(Old {
            listeners,
            events: Mutex::default(),
            never_pauses: AtomicBool::new(false),
        })
    }

    /// Creates a server with one listener on a free port.
    pub(super) fn on_a_port() -> Arc<Self> {
        Self::new(vec![("127.0.0.1:0", vec![tcp()])])
    }

    pub(super) fn note(&self, event: String) {
        self.events.lock().push(event);
    }

    /// Takes the events so far.
    pub(super) fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock())
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.listeners[0].1[0].local_addr().socket_addr().unwrap()
    }

    /// Waits for a successor at this path.
    pub(super) async fn wait(self: Arc<Self>, path: PathBuf, carrier: Carrier) {
        let door = SocketListener::private(&path).await.unwrap();
        serve(door, &*self, &carrier, &Spare::default()).await;
    }

    /// Waits for a successor at this path while the test goes on.
    pub(super) async fn beside(self: &Arc<Self>, path: &Path, carrier: &Carrier) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().wait(path.to_owned(), carrier.clone()));
        until(|| path.exists()).await;
        tasks
    }
}
