//! Serves the players of both halves: the handshake, the status that a client shows in its list of
//! servers, and the ping. A proxy would connect players who log in to a server. This one sends them
//! a message instead.

use serde_json::json;
use std::{fmt::Display, io};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The maximum length of a packet before the login.
const LONGEST: usize = 1024;

const STATUS: i32 = 1;

/// Serves a player. The status contains the player's address.
pub async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    address: impl Display,
) -> io::Result<()> {
    let mut io = BufReader::new(io);
    let (version, next) =
        handshake(&packet(&mut io).await?).ok_or_else(|| invalid("expected a handshake"))?;
    if next != STATUS {
        write(&mut io, 0, &text(r#"{"text":"This server has no world."}"#)).await?;
        return io.shutdown().await;
    }
    // The client asks for the status, then measures a round trip, and may leave after either.
    loop {
        let request = match packet(&mut io).await {
            Ok(request) => request,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        };
        match request.split_first() {
            Some((0, [])) => {
                let status = json!({
                    "version": { "name": "reagent", "protocol": version },
                    "players": { "max": 0, "online": 0 },
                    "description": { "text": format!("hello, {address}") },
                });
                write(&mut io, 0, &text(&status.to_string())).await?;
            }
            Some((1, payload)) if payload.len() == 8 => write(&mut io, 1, payload).await?,
            _ => return Err(invalid("unexpected packet")),
        }
    }
    io.shutdown().await
}

/// Parses a handshake. Returns the protocol version, and what the client wants next.
fn handshake(mut packet: &[u8]) -> Option<(i32, i32)> {
    if var_int(&mut packet)? != 0 {
        return None;
    }
    let version = var_int(&mut packet)?;
    let host_len = usize::try_from(var_int(&mut packet)?).ok()?;
    // After the name of the host comes the port, of two bytes.
    packet = packet.get(host_len + 2..)?;
    Some((version, var_int(&mut packet)?))
}

/// Reads a packet: its id and its fields.
async fn packet(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut len = Vec::new();
    let len = loop {
        len.push(io.read_u8().await?);
        match var_int(&mut &len[..]) {
            Some(len) => break len,
            None if len.len() == 5 => return Err(invalid("invalid length of a packet")),
            None => {}
        }
    };
    let len = usize::try_from(len).ok().filter(|len| *len <= LONGEST);
    let mut packet = vec![0; len.ok_or_else(|| invalid("invalid length of a packet"))?];
    io.read_exact(&mut packet).await?;
    Ok(packet)
}

/// Writes a packet.
async fn write(io: &mut (impl AsyncWrite + Unpin), id: u8, fields: &[u8]) -> io::Result<()> {
    let mut packet = Vec::new();
    put_var_int(&mut packet, fields.len() + 1);
    packet.push(id);
    packet.extend(fields);
    io.write_all(&packet).await?;
    io.flush().await
}

/// Encodes a string.
fn text(text: &str) -> Vec<u8> {
    let mut field = Vec::new();
    put_var_int(&mut field, text.len());
    field.extend(text.bytes());
    field
}

/// Reads a number in base 128, the lowest digit first, in at most five bytes.
fn var_int(bytes: &mut &[u8]) -> Option<i32> {
    let mut value = 0;
    for i in 0..5 {
        let (&digit, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= i32::from(digit & 0x7f) << (7 * i);
        if digit < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_var_int(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
