//! Waiting for a successor.

use super::{
    carrier::Carrier,
    predecessor::{Predecessor, hand_over},
    spare::Spare,
    transfer::answer,
    wire::{Kind, Received, Wire},
};
use crate::listener::{ErrorClass, Listener, PlainStream, SocketListener};
use std::{
    collections::VecDeque,
    future::{Future, pending, poll_fn},
    io,
    pin::Pin,
    time::Duration,
};
use tokio::{
    net::UnixStream,
    task::{AbortHandle, JoinSet, yield_now},
    time::sleep,
};

/// How long a client may take for its first message. A successor sends it at once.
pub(super) const HELLO: Duration = Duration::from_secs(1);

/// How many clients may be silent at once. The one that has been silent for longest makes room for
/// another, so that a successor gets in however many connect.
pub(super) const MOST_SILENT: usize = 64;

/// How long to wait after an error of `accept`, such as a lack of descriptors.
const RETRY: Duration = Duration::from_secs(1);

/// The exchange with a successor, and whether it has taken over.
type Exchange<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Serves one succession at a time, and returns once a successor has taken over.
///
/// # Cancel safety
///
/// If the future is dropped, the server is about to stop. A successor that has the sockets goes on
/// alone, and no other one is served.
pub(crate) async fn serve<P: Predecessor>(
    mut socket: SocketListener,
    server: &P,
    carrier: &Carrier,
    spare: &Spare,
) {
    let mut greetings = Greetings::default();
    let mut succession: Option<Exchange<'_>> = None;
    let mut door = None;
    loop {
        // What the last client has used.
        let sockets = server.sockets();
        if door.is_none() {
            door = socket.another_handle().ok();
        }
        // Without them, a succession still succeeds unless the server runs out of descriptors.
        let _ = spare.fill(sockets);
        let current = async {
            match &mut succession {
                Some(succession) => succession.await,
                None => pending().await,
            }
        };
        tokio::select! {
            ended = current => {
                succession = None;
                if ended {
                    return;
                }
            }
            wire = greetings.next() => match (&succession, door.take()) {
                (None, Some(door)) => {
                    succession = Some(Box::pin(hand_over(wire, server, carrier, door, spare)));
                }
                (None, None) => refuse(&wire, "it has no file descriptor left"),
                (Some(_), unused) => {
                    door = unused;
                    refuse(&wire, "another succession is in progress");
                }
            },
            stream = accept(&mut socket, spare, sockets) => greetings.add(stream).await,
        }
    }
}

fn refuse(wire: &Wire, reason: &str) {
    wire.try_send(Kind::Refused, reason.as_bytes());
}

/// Uses the descriptors that are kept beyond those for the sockets, if there is no other.
///
/// Cancel safe.
async fn accept(socket: &mut SocketListener, spare: &Spare, sockets: usize) -> UnixStream {
    loop {
        let ready = poll_fn(|cx| socket.poll_ready(cx)).await;
        match ready.and_then(|()| socket.try_accept()) {
            Ok(accepted) => {
                if let (Some(PlainStream::Unix(stream)), _) = accepted.transport.split() {
                    return stream;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if ErrorClass::lacks_descriptors(&error) && spare.make_room(sockets + 1) => {
            }
            Err(_) => sleep(RETRY).await,
        }
    }
}

/// Clients that have not sent their first message yet.
#[derive(Default)]
struct Greetings {
    tasks: JoinSet<Option<Wire>>,
    order: VecDeque<AbortHandle>,
}

impl Greetings {
    async fn add(&mut self, stream: UnixStream) {
        if self.is_full() {
            // A client that has greeted by now is no longer silent once its task has run.
            yield_now().await;
        }
        if self.is_full() {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
        }
        self.order.push_back(self.tasks.spawn(greeting(stream)));
    }

    fn is_full(&mut self) -> bool {
        self.order.retain(|task| !task.is_finished());
        self.order.len() >= MOST_SILENT
    }

    /// Returns the next client that greets as a successor.
    ///
    /// Cancel safe.
    async fn next(&mut self) -> Wire {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Some(wire))) => return wire,
                Some(_) => {}
                None => pending().await,
            }
        }
    }
}

/// Returns a client that turns out to be a successor.
async fn greeting(stream: UnixStream) -> Option<Wire> {
    let peer = stream.peer_cred().ok()?.uid();
    let wire = Wire::new(stream);
    if !super::is_trusted(peer) {
        let reason = format!("its user ID is {peer}; start it as the user of this server");
        refuse(&wire, &reason);
        return None;
    }
    let hello = answer(&wire, &mut Received::default(), HELLO).await.ok()?;
    if hello.kind != Kind::Hello {
        return None;
    }
    match super::read_hello(&hello.body)? {
        super::VERSION => Some(wire),
        version => {
            let reason = format!(
                "it speaks version {version} of the protocol; expected {}",
                super::VERSION
            );
            refuse(&wire, &reason);
            None
        }
    }
}
