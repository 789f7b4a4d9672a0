//! The clients of the model.

use crate::net::Stream;

/// A client, from `connect` until it leaves.
pub struct Client {
    /// The place it has connected to.
    pub place: usize,
    stream: Stream,
    greeting: Vec<u8>,
    /// The number of bytes sent and not yet echoed.
    owed: usize,
    half_closed: bool,
    /// Set once the server has closed the connection, in order or not.
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

    /// Returns the number of its connection, once the handler has sent it.
    pub fn id(&self) -> Option<u64> {
        let bytes = self.greeting.as_slice().try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    /// Returns whether it has been neither served nor turned away.
    pub fn waits(&self) -> bool {
        self.id().is_none() && !self.ended
    }

    /// Returns whether its handler reads commands.
    pub fn takes_commands(&self) -> bool {
        self.id().is_some() && !self.ended && !self.half_closed
    }

    /// Reads all available bytes.
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

    /// Returns what is wrong if nothing more is going to happen.
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
