//! The clients of the model.

use crate::net::Stream;

/// One client, from `connect` until it leaves.
pub struct Client {
    /// Where it came to.
    pub place: usize,
    stream: Stream,
    greeting: Vec<u8>,
    /// Bytes sent that have not come back.
    owed: usize,
    half_closed: bool,
    /// The server has closed it, orderly or not.
    pub ended: bool,
}

impl Client {
    pub fn new(place: usize, stream: Stream) -> Self {
        Client {
            place,
            stream,
            greeting: Vec::new(),
            owed: 0,
            half_closed: false,
            ended: false,
        }
    }

    /// The number of its connection, once the handler has greeted it.
    pub fn id(&self) -> Option<u64> {
        let bytes = self.greeting.as_slice().try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    /// Neither served nor turned away.
    pub fn waits(&self) -> bool {
        self.id().is_none() && !self.ended
    }

    /// Whether its handler listens to it.
    pub fn takes_commands(&self) -> bool {
        self.id().is_some() && !self.ended && !self.half_closed
    }

    /// Reads what has come.
    pub fn pump(&mut self) {
        let mut bytes = [0; 256];
        while !self.ended {
            let missing = 8 - self.greeting.len();
            let end = if missing > 0 { missing } else { bytes.len() };
            match self.stream.read(&mut bytes[..end]) {
                Some(0) => self.ended = true,
                Some(count) if missing > 0 => self.greeting.extend_from_slice(&bytes[..count]),
                Some(count) => self.owed -= count.min(self.owed),
                None => return,
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        if !self.half_closed && !self.ended {
            self.owed += self.stream.write(bytes);
        }
    }

    pub fn half_close(&mut self) {
        self.half_closed = true;
        self.stream.half_close();
    }

    /// What keeps it from being as it should when nothing more happens.
    pub fn complaint(&self) -> Option<&'static str> {
        if self.ended || self.id().is_none() {
            None
        } else if self.half_closed {
            Some("sent its end and did not get the server's")
        } else if self.owed > 0 {
            Some("did not get its bytes back")
        } else {
            None
        }
    }

    pub fn reset(&self) {
        self.stream.reset();
    }
}
