//! The upgrade: reading until the protocol is known.

use super::{Config, Detected, Detector, PrefixedIo, Protocol, Sniffed, TIMEOUT, Undecided};
use crate::io::read_ahead;
use reagent::{BoxError, Connection, IoStream, TimedOut, Upgrade};
use std::{io, pin::pin, sync::Arc};

/// The upgrade of a [`SniffLayer`](super::SniffLayer).
#[derive(Clone, Debug)]
pub struct Sniff(pub(super) Arc<Config>);

impl<Io: IoStream> Upgrade<Io> for Sniff {
    type Io = PrefixedIo<Io>;

    async fn upgrade(
        &self,
        mut conn: Connection<Io>,
    ) -> Result<Connection<PrefixedIo<Io>>, BoxError> {
        let config = &*self.0;
        let mut bytes = Vec::new();
        let handle = conn.handle();
        let sniffed = {
            let receiving = pin!(receive(&mut conn, &mut bytes, &config.detector));
            handle.within_opening(config.timeout, receiving).await
        };
        let sniffed = match sniffed {
            Some(sniffed) => sniffed?,
            None if config.undecided == Undecided::Unknown => Sniffed::new(Protocol::Unknown),
            None => return Err(TimedOut::new(TIMEOUT).into()),
        };
        conn.extensions_mut().insert(sniffed);
        Ok(conn.map_io_passthrough(|io| PrefixedIo::new(io, bytes)))
    }

    fn name(&self) -> &'static str {
        TIMEOUT
    }
}

/// Reads into `bytes` until the protocol is known. Cancel safe: whatever was read is in `bytes`.
async fn receive<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    detector: &Detector,
) -> io::Result<Sniffed> {
    loop {
        let needed = match detector.detect(bytes) {
            Detected::Done(sniffed) => return Ok(sniffed),
            Detected::NeedMore { needed } => needed,
        };
        while bytes.len() < needed {
            let room = detector.limit() - bytes.len();
            if read_ahead(conn, bytes, room).await? == 0 {
                // The stream ended before anything could be detected.
                return Ok(Sniffed::new(Protocol::Unknown));
            }
        }
    }
}
