//! The packets of MQTT 3.1.1.

use bytes::{Buf, Bytes, BytesMut};
use reagent_layers::framed::codec::Decoder;
use std::io;

/// The maximum length of a packet, without its fixed header.
const LONGEST: usize = 64 * 1024;

pub const CONNECT: u8 = 1;
pub const PUBLISH: u8 = 3;
pub const SUBSCRIBE: u8 = 8;
pub const PINGREQ: u8 = 12;
pub const DISCONNECT: u8 = 14;

pub const CONNACK: u8 = 0x20;
pub const SUBACK: u8 = 0x90;
pub const PINGRESP: [u8; 2] = [0xd0, 0];

/// A packet as it was received.
pub struct Packet {
    /// The whole packet.
    pub bytes: Bytes,
    /// The variable header and the payload that are not read yet.
    body: Bytes,
}

impl Packet {
    pub fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }

    pub fn flags(&self) -> u8 {
        self.bytes[0] & 0xf
    }

    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    pub fn u8(&mut self) -> io::Result<u8> {
        self.body.try_get_u8().map_err(|_| invalid("cut short"))
    }

    pub fn u16(&mut self) -> io::Result<u16> {
        self.body.try_get_u16().map_err(|_| invalid("cut short"))
    }

    pub fn text(&mut self) -> io::Result<String> {
        let len = self.u16()?.into();
        if self.body.len() < len {
            return Err(invalid("cut short"));
        }
        String::from_utf8(self.body.split_to(len).into()).map_err(|_| invalid("text is not UTF-8"))
    }
}

/// Finds the ends of packets.
pub struct Codec;

impl Decoder for Codec {
    type Item = Packet;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Packet>> {
        // The length is in base 128, the lowest digit first, in at most four bytes.
        let mut len = 0;
        for i in 0..4 {
            let Some(&digit) = src.get(1 + i) else {
                return Ok(None);
            };
            len |= usize::from(digit & 0x7f) << (7 * i);
            if len > LONGEST {
                return Err(invalid("too long"));
            }
            if digit < 0x80 {
                let head = 2 + i;
                if src.len() < head + len {
                    return Ok(None);
                }
                let bytes = src.split_to(head + len).freeze();
                let body = bytes.slice(head..);
                return Ok(Some(Packet { bytes, body }));
            }
        }
        Err(invalid("length has more than four bytes"))
    }
}

pub fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("invalid packet: {what}"),
    )
}
