//! Serves the clients of both halves. It supports the part of PostgreSQL's protocol, version 3,
//! that `psql` needs for simple queries. A pooler would send a query to one of its servers. This
//! one returns the text of the query as its result.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The maximum length of a message.
const LONGEST: usize = 1024 * 1024;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const VERSION_3: u32 = 3 << 16;

const QUERY: u8 = b'Q';
const TERMINATE: u8 = b'X';

/// Serves a client until it leaves.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut io = BufReader::new(io);
    if !start(&mut io).await? {
        return Ok(());
    }
    while let Some((kind, body)) = message(&mut io).await? {
        let mut out = Vec::new();
        match kind {
            QUERY => {
                let text = body.strip_suffix(b"\0").unwrap_or(&body);
                answer(&mut out, text);
                put(&mut out, b'Z', b"I");
            }
            TERMINATE => break,
            _ => {
                put(
                    &mut out,
                    b'E',
                    b"SFATAL\0C0A000\0Monly simple queries are supported\0\0",
                );
                io.write_all(&out).await?;
                break;
            }
        }
        io.write_all(&out).await?;
        io.flush().await?;
    }
    io.shutdown().await
}

/// Reads startup packets up to the one that starts a session. Returns `false` if the
/// client leaves instead.
async fn start(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
    // A client may ask for GSSAPI first, and then for TLS.
    for _ in 0..3 {
        let body = match io.read_u32().await {
            Ok(len) => body(io, len).await?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        let code = body.first_chunk().map(|code| u32::from_be_bytes(*code));
        match code {
            Some(SSL_REQUEST | GSS_REQUEST) => {
                io.write_all(b"N").await?;
                io.flush().await?;
            }
            Some(VERSION_3) => {
                let mut out = Vec::new();
                put(&mut out, b'R', &0_u32.to_be_bytes());
                put(&mut out, b'S', b"server_version\x0017.0\0");
                put(&mut out, b'S', b"client_encoding\0UTF8\0");
                put(&mut out, b'Z', b"I");
                io.write_all(&out).await?;
                io.flush().await?;
                return Ok(true);
            }
            _ => return Err(invalid("unsupported startup packet")),
        }
    }
    Err(invalid("too many startup packets"))
}

/// Reads a message: its type and its body. Returns `None` if the client has left.
async fn message(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(u8, Vec<u8>)>> {
    let kind = match io.read_u8().await {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = io.read_u32().await?;
    Ok(Some((kind, body(io, len).await?)))
}

/// Reads what follows a length, which counts its own four bytes.
async fn body(io: &mut (impl AsyncRead + Unpin), len: u32) -> io::Result<Vec<u8>> {
    let len = (len as usize).checked_sub(4).filter(|len| *len <= LONGEST);
    let len = len.ok_or_else(|| invalid("invalid length of a message"))?;
    let mut body = vec![0; len];
    io.read_exact(&mut body).await?;
    Ok(body)
}

/// Writes a result of one row with one column of text.
fn answer(out: &mut Vec<u8>, text: &[u8]) {
    let mut columns = 1_u16.to_be_bytes().to_vec();
    columns.extend(b"query\0");
    // No table, the type `text`, which has no fixed size or modifier, in text form.
    columns.extend([0; 6]);
    columns.extend(25_u32.to_be_bytes());
    columns.extend([0xff; 6]);
    columns.extend([0; 2]);
    put(out, b'T', &columns);

    let mut row = 1_u16.to_be_bytes().to_vec();
    row.extend((text.len() as u32).to_be_bytes());
    row.extend(text);
    put(out, b'D', &row);
    put(out, b'C', b"SELECT 1\0");
}

/// Writes a message.
fn put(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
