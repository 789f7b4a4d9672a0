//! The broker of both halves. It supports the part of MQTT 3.1.1 that `mosquitto_sub` and
//! `mosquitto_pub` need: messages of QoS 0, without wills, sessions or retained messages.

use super::packet::{self, Codec, Packet, invalid};
use bytes::Bytes;
use reagent_layers::framed::codec::FramedRead;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::StreamExt;

/// The time limit for the CONNECT packet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of topic filters that a client may subscribe to.
const MAX_FILTERS: usize = 100;

/// The state shared by all clients.
#[derive(Clone)]
pub struct Broker {
    messages: broadcast::Sender<Message>,
}

/// A published message.
#[derive(Clone)]
struct Message {
    topic: Arc<str>,
    packet: Bytes,
}

impl Broker {
    pub fn new() -> Self {
        // A subscriber that falls behind by this many messages misses some.
        let messages = broadcast::Sender::new(256);
        Broker { messages }
    }

    /// Serves a client until it disconnects.
    pub async fn serve(&self, io: impl AsyncRead + AsyncWrite) -> io::Result<()> {
        let (reader, mut writer) = tokio::io::split(io);
        let mut packets = FramedRead::new(reader, Codec);
        let first = timeout(CONNECT_TIMEOUT, packets.next()).await?;
        let Some(connect) = first.transpose()? else {
            return Ok(());
        };
        let keep_alive = check(connect)?;
        writer.write_all(&[packet::CONNACK, 2, 0, 0]).await?;
        writer.flush().await?;

        let mut messages = self.messages.subscribe();
        let mut filters = Vec::new();
        let mut deadline = Instant::now() + keep_alive;
        loop {
            tokio::select! {
                packet = packets.next() => {
                    let Some(packet) = packet.transpose()? else {
                        break;
                    };
                    deadline = Instant::now() + keep_alive;
                    match packet.kind() {
                        packet::PUBLISH => self.publish(packet)?,
                        packet::SUBSCRIBE => {
                            writer.write_all(&subscribe(packet, &mut filters)?).await?;
                        }
                        packet::PINGREQ => writer.write_all(&packet::PINGRESP).await?,
                        packet::DISCONNECT => break,
                        _ => return Err(invalid("unsupported type")),
                    }
                }
                message = messages.recv() => match message {
                    Ok(message) if filters.iter().any(|filter| matches(filter, &message.topic)) => {
                        writer.write_all(&message.packet).await?;
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                () = sleep_until(deadline) => return Err(io::ErrorKind::TimedOut.into()),
            }
            writer.flush().await?;
        }
        writer.shutdown().await
    }

    fn publish(&self, mut packet: Packet) -> io::Result<()> {
        if packet.flags() != 0 {
            return Err(invalid("only QoS 0 without RETAIN is supported"));
        }
        let topic = packet.text()?.into();
        let packet = packet.bytes;
        // There is always a receiver: that of the client itself.
        let _ = self.messages.send(Message { topic, packet });
        Ok(())
    }
}

/// Checks a CONNECT packet. Returns the time that the client may be silent.
fn check(mut connect: Packet) -> io::Result<Duration> {
    if connect.kind() != packet::CONNECT || connect.text()? != "MQTT" || connect.u8()? != 4 {
        return Err(invalid("expected CONNECT of MQTT 3.1.1"));
    }
    let _flags = connect.u8()?;
    let seconds = match connect.u16()? {
        0 => u16::MAX,
        seconds => seconds,
    };
    Ok(Duration::from_secs(seconds.into()).mul_f32(1.5))
}

/// Adds the filters of a SUBSCRIBE packet. Returns the SUBACK, which grants QoS 0.
fn subscribe(mut packet: Packet, filters: &mut Vec<String>) -> io::Result<Vec<u8>> {
    let id = packet.u16()?.to_be_bytes();
    let mut answer = vec![packet::SUBACK, 2, id[0], id[1]];
    while !packet.is_empty() {
        filters.push(packet.text()?);
        let _qos = packet.u8()?;
        answer.push(0);
        answer[1] += 1;
        if filters.len() > MAX_FILTERS {
            return Err(invalid("too many filters"));
        }
    }
    Ok(answer)
}

/// Returns whether a topic filter, in which `+` stands for one level and `#` for all that follow,
/// includes a topic.
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
