//! The upgrade: the negotiation, and then the handshake.

use super::{
    INJECTED, INVALID, NO_ALPN, NO_TLS, StartTlsIo, TIMEOUT,
    protocol::{Protocol, Step},
};
use crate::{Refusal, io::read_ahead, tls::TlsLayer};
use reagent::{BoxError, Connection, IoStream, PrefixedIo, Rejected, TimedOut, Upgrade};
use std::{io, pin::pin, time::Duration};
use tokio::io::AsyncWriteExt;

/// The size of a read. Nearly everything that is needed fits.
const READ: usize = 64;

/// The label that tells how a connection began.
const LABEL: &str = "starttls";

/// The [`Upgrade`] of a [`StartTlsLayer`](super::StartTlsLayer).
#[derive(Clone, Debug)]
pub struct StartTls {
    pub(super) protocol: Protocol,
    pub(super) tls: TlsLayer,
    pub(super) timeout: Option<Duration>,
    pub(super) allows_plaintext: bool,
}

/// How a client goes on.
enum Next {
    /// With a handshake.
    Tls,
    /// With a handshake that it has begun, and in which it has to negotiate this ALPN protocol.
    Direct(&'static [u8]),
    /// With a message of this length in plaintext, and nothing else.
    Message(usize),
    /// Without encryption, where that is allowed.
    Plaintext,
    /// Not at all, after this message.
    Refused(Vec<u8>),
}

impl Next {
    fn as_str(&self) -> &'static str {
        match self {
            Next::Tls => "requested",
            Next::Direct(_) => "direct",
            Next::Message(_) => "cancel",
            Next::Plaintext | Next::Refused(_) => "plaintext",
        }
    }
}

impl<Io: IoStream> Upgrade<Io> for StartTls {
    type Io = StartTlsIo<Io>;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Self::Io>, BoxError> {
        let mut bytes = Vec::new();
        let handle = conn.handle();
        let next = {
            let negotiating = pin!(negotiate(&mut conn, &mut bytes, self));
            handle.within_opening(self.timeout, negotiating).await
        };
        let next = next.unwrap_or_else(|| Err(TimedOut::new(TIMEOUT).into()))?;
        conn.label(LABEL, next.as_str());
        match next {
            Next::Tls => self.handshake(conn, bytes).await,
            Next::Direct(alpn) => {
                let conn = self.handshake(conn, bytes).await?;
                match conn.negotiated_protocol() == Some(alpn) {
                    true => Ok(conn),
                    false => Err(Rejected::new(NO_ALPN).into()),
                }
            }
            Next::Message(len) => {
                bytes.truncate(len);
                Ok(conn.map_io(|io| StartTlsIo::message(io, bytes)))
            }
            Next::Plaintext => Ok(conn.map_io(|io| StartTlsIo::plain(io, bytes))),
            Next::Refused(refusal) => Err(Refusal::message(refusal).refuse(conn, NO_TLS).await),
        }
    }

    fn name(&self) -> &'static str {
        TIMEOUT
    }
}

impl StartTls {
    async fn handshake<Io: IoStream>(
        &self,
        conn: Connection<Io>,
        ahead: Vec<u8>,
    ) -> Result<Connection<StartTlsIo<Io>>, BoxError> {
        let conn = conn.map_io(|io| PrefixedIo::new(io, ahead));
        let conn = self.tls.accept(conn).await?;
        Ok(conn.map_io(StartTlsIo::tls))
    }
}

/// Answers the client's requests up to the one that decides how it goes on. `bytes` are then those
/// that were received and not answered.
///
/// Each protocol limits the number of requests that it declines or refuses, and so that of answers.
async fn negotiate<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    settings: &StartTls,
) -> Result<Next, BoxError> {
    let mut declined = 0;
    loop {
        match settings.protocol.read(bytes, declined) {
            Step::NeedMore(needed) => receive(conn, bytes, needed).await?,
            Step::Decline { len, answer } => {
                respond(conn, bytes, len, &answer).await?;
                declined += 1;
            }
            Step::Begin { len, answer } => {
                respond(conn, bytes, len, &answer).await?;
                return Ok(Next::Tls);
            }
            Step::Direct { alpn } => return Ok(Next::Direct(alpn)),
            Step::PassMessage(len) => return Ok(Next::Message(len)),
            Step::Plaintext { .. } if settings.allows_plaintext => return Ok(Next::Plaintext),
            Step::Plaintext {
                refusal,
                goes_on: Some(len),
            } => {
                receive(conn, bytes, len).await?;
                // More requests may follow. They are no less in plaintext.
                bytes.drain(..len);
                send(conn, &refusal).await?;
                declined += 1;
            }
            Step::Plaintext { refusal, .. } => return Ok(Next::Refused(refusal)),
            Step::Invalid => return Err(Rejected::new(INVALID).into()),
        }
    }
}

/// Answers a request of `len` bytes. A client waits for the answer, so bytes that follow the request
/// are not its own: CVE-2021-23222 and CVE-2011-0411.
async fn respond<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    len: usize,
    answer: &[u8],
) -> Result<(), BoxError> {
    if bytes.len() > len {
        return Err(Rejected::new(INJECTED).into());
    }
    bytes.clear();
    Ok(send(conn, answer).await?)
}

async fn send<Io: IoStream>(conn: &mut Connection<Io>, answer: &[u8]) -> io::Result<()> {
    conn.write_all(answer).await?;
    conn.flush().await
}

/// Reads until there are `needed` bytes.
async fn receive<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    needed: usize,
) -> io::Result<()> {
    while bytes.len() < needed {
        let room = needed.max(READ) - bytes.len();
        if read_ahead(conn, bytes, room).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
