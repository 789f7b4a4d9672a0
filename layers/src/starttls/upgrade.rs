//! The upgrade: the negotiation, and then the handshake.

use super::{
    INJECTED, INVALID, NO_ALPN, NO_TLS, StartTlsIo, TIMEOUT,
    protocol::{Protocol, Step},
};
use crate::{Refusal, io::read_ahead, tls::TlsLayer};
use reagent::{BoxError, Connection, IoStream, PrefixedIo, Rejected, TimedOut, Upgrade};
use std::{io, pin::pin, time::Duration};
use tokio::io::AsyncWriteExt;

/// The size of a read. All that is needed fits, except for a long cancel request.
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
    /// With a handshake that it has begun.
    Direct,
    /// With a message of this length in plaintext, and nothing else.
    Message(usize),
    Plaintext,
}

impl Next {
    fn as_str(&self) -> &'static str {
        match self {
            Next::Tls => "requested",
            Next::Direct => "direct",
            Next::Message(_) => "cancel",
            Next::Plaintext => "plaintext",
        }
    }
}

impl<Io: IoStream> Upgrade<Io> for StartTls {
    type Io = StartTlsIo<Io>;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Self::Io>, BoxError> {
        let mut bytes = Vec::new();
        let handle = conn.handle();
        let next = {
            let negotiating = pin!(negotiate(&mut conn, &mut bytes, self.protocol));
            handle.within_opening(self.timeout, negotiating).await
        };
        let next = next.unwrap_or_else(|| Err(TimedOut::new(TIMEOUT).into()))?;
        conn.label(LABEL, next.as_str());
        match next {
            Next::Tls => self.handshake(conn, bytes).await,
            Next::Direct => {
                let conn = self.handshake(conn, bytes).await?;
                match conn.negotiated_protocol() == Some(self.protocol.alpn()) {
                    true => Ok(conn),
                    false => Err(Rejected::new(NO_ALPN).into()),
                }
            }
            Next::Message(len) => {
                bytes.truncate(len);
                Ok(conn.map_io(|io| StartTlsIo::message(io, bytes)))
            }
            Next::Plaintext if self.allows_plaintext => {
                Ok(conn.map_io(|io| StartTlsIo::plain(io, bytes)))
            }
            Next::Plaintext => {
                let refusal = Refusal::message(self.protocol.refusal());
                Err(refusal.refuse(conn, NO_TLS).await)
            }
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
/// At most one request is declined, so there are at most two answers.
async fn negotiate<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    protocol: Protocol,
) -> Result<Next, BoxError> {
    let mut was_declined = false;
    loop {
        match protocol.read(bytes, was_declined) {
            Step::NeedMore(needed) => receive(conn, bytes, needed).await?,
            Step::Decline { len, answer } => {
                respond(conn, bytes, len, &answer).await?;
                was_declined = true;
            }
            Step::Begin { len, answer } => {
                respond(conn, bytes, len, &answer).await?;
                return Ok(Next::Tls);
            }
            Step::Direct => return Ok(Next::Direct),
            Step::PassMessage(len) => return Ok(Next::Message(len)),
            Step::Plaintext => return Ok(Next::Plaintext),
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
    conn.write_all(answer).await?;
    conn.flush().await?;
    Ok(())
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
