//! The upgrade of a connection to TLS: the handshake.

use super::{
    TlsInfo, TlsIo,
    admitted::Client,
    handshake_error::{Failure, Stage},
    resolver::{ACME_CHALLENGE, Challenge},
    source::Current,
    store::Store,
};
use reagent::{BoxError, Connection, IoStream, Rejected, Upgrade};
use std::{
    fmt,
    future::{Future, poll_fn},
    io, mem,
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use tokio::{io::AsyncWriteExt, sync::Semaphore};
use tokio_rustls::{
    LazyConfigAcceptor, StartHandshake,
    rustls::{
        AlertDescription,
        server::{Acceptor, ClientHello},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

/// The [`Upgrade`] of a [`TlsLayer`](super::TlsLayer), which performs the handshake.
#[derive(Clone)]
pub struct Tls {
    pub(super) store: Arc<Store>,
    pub(super) places: Option<Arc<Semaphore>>,
    pub(super) requires_close_notify: bool,
    pub(super) admit: Option<Arc<Admit>>,
}

/// Whether a client is admitted after its handshake.
pub(super) type Admit = dyn Fn(&TlsInfo) -> bool + Send + Sync;

/// A stream after its handshake, and the configuration by which its client was admitted, if that may
/// be asked for. `None` after a challenge that was answered, whose connection is never served.
type Shaken<Io> = Option<Answered<Io>>;

struct Answered<Io> {
    stream: TlsStream<Io>,
    by: Option<Arc<Current>>,
    served: Option<Arc<CertifiedKey>>,
}

impl<Io: IoStream> Upgrade<Io> for Tls {
    type Io = TlsIo<Io>;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<TlsIo<Io>>, BoxError> {
        let (io, parts) = conn.into_parts();
        match self.handshake(io).await {
            Ok(None) => Err(Rejected::new(ACME_CHALLENGE).into()),
            Ok(Some(Answered { stream, by, served })) => {
                let client = Client {
                    info: TlsInfo::of(stream.get_ref().1, served),
                    admit: self.admit.clone(),
                };
                let registered = self.store.admit(&parts.handle, &client, by)?;
                let io = TlsIo::new(
                    stream,
                    parts.handle.clone(),
                    self.requires_close_notify,
                    registered,
                );
                let mut conn = parts.with_io(io);
                client.info.put_on(&mut conn);
                Ok(conn)
            }
            Err(failure) => {
                let peer = parts.handle.peer_addr().clone();
                let error = failure.with(peer);
                // For spans and metrics, which do not know this error type.
                let conn = parts.with_io(());
                conn.label("error.type", error.kind().as_str());
                Err(error.into())
            }
        }
    }

    fn name(&self) -> &'static str {
        "tls handshake"
    }
}

impl Tls {
    async fn handshake<Io: IoStream>(&self, io: Io) -> Result<Shaken<Io>, Failure> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io)
            .await
            .map_err(|error| Failure::new(Stage::Hello, error))?;
        // Boxed, so that a client that has sent nothing does not take the memory for the rest of
        // the handshake.
        Box::pin(self.answer(start)).await
    }

    async fn answer<Io: IoStream>(
        &self,
        mut start: StartHandshake<Io>,
    ) -> Result<Shaken<Io>, Failure> {
        let current = self.store.current();
        let challenge = current.challenge(&start.client_hello());
        if let Some(challenge) = challenge {
            return answer_challenge(start, challenge).await;
        }
        let served = current.served(&start.client_hello());
        if let Err(alert) = served {
            let failure = Failure::unknown_name(start.client_hello().server_name());
            // The client is refused whether or not it receives the alert.
            let _ = send_alert(&mut start.io, alert).await;
            return Err(failure);
        }
        let served = served.ok().flatten();
        let config = current.config.clone();
        let by = self.store.admitted.is_some().then_some(current);
        let place = match &self.places {
            None => None,
            Some(places) => Some(places.acquire().await),
        };
        // This call answers the first message.
        let mut handshake = start.into_stream(config);
        drop(place);
        // By reference: a future that is moved into another would take its space twice.
        let result = match &self.places {
            None => (&mut handshake).await,
            Some(places) => in_turns(places, &mut handshake).await,
        };
        match result {
            Ok(stream) => Ok(Some(Answered { stream, by, served })),
            Err(error) => Err(Failure::new(Stage::Rest, error)),
        }
    }
}

/// Performs the handshake by which a name is validated, and ends the connection.
async fn answer_challenge<Io: IoStream>(
    mut start: StartHandshake<Io>,
    challenge: Challenge,
) -> Result<Shaken<Io>, Failure> {
    let Challenge::Answer(config) = challenge else {
        let failure = Failure::unknown_name(start.client_hello().server_name());
        let _ = send_alert(&mut start.io, AlertDescription::UnrecognisedName).await;
        return Err(failure);
    };
    match start.into_stream(config).await {
        Ok(mut stream) => {
            // The name is validated whether or not the authority receives the end.
            let _ = stream.shutdown().await;
            Ok(None)
        }
        Err(error) => Err(Failure::new(Stage::Rest, error)),
    }
}

/// Polls `future` while holding a place. The place is held only during each poll, not while
/// `future` waits for bytes.
async fn in_turns<T>(places: &Semaphore, future: &mut (impl Future<Output = T> + Unpin)) -> T {
    loop {
        let place = places.acquire().await;
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await;
        drop(place);
        if let Poll::Ready(output) = polled {
            return output;
        }
        // Wait until the task is woken by whatever `future` is waiting for.
        let mut woken = false;
        poll_fn(|_| match mem::replace(&mut woken, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

impl Current {
    /// Returns the certificate for a client, or `None` if only the user's configuration knows. The
    /// error is the alert for a client without a certificate for its name: rustls itself would send
    /// `access_denied`.
    fn served(
        &self,
        hello: &ClientHello<'_>,
    ) -> Result<Option<Arc<CertifiedKey>>, AlertDescription> {
        let Some(certificates) = &self.certificates else {
            return Ok(None);
        };
        match (certificates.find(hello), hello.server_name()) {
            (Some(served), _) => Ok(Some(served)),
            (None, Some(_)) => Err(AlertDescription::UnrecognisedName),
            // RFC 8446, section 9.2.
            (None, None) => Err(AlertDescription::MissingExtension),
        }
    }
}

/// Sends a fatal alert before anything is encrypted: RFC 8446, sections 5.1 and 6.
async fn send_alert(io: &mut (impl IoStream + ?Sized), alert: AlertDescription) -> io::Result<()> {
    const ALERT: u8 = 21;
    const VERSION: [u8; 2] = [3, 3];
    const LENGTH: [u8; 2] = [0, 2];
    const FATAL: u8 = 2;
    let record = [&[ALERT][..], &VERSION, &LENGTH, &[FATAL, u8::from(alert)]];
    io.write_all(&record.concat()).await?;
    io.flush().await
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
