//! A sink for mail: an SMTP server (RFC 5321) that accepts any message, only with TLS (STARTTLS, RFC
//! 3207), and prints one line about it.
//!
//! Run it with `cargo run --example smtp -- --tls-cert cert.pem --tls-key key.pem`, and send a
//! message with `swaks --server 127.0.0.1:2525 --tls --to me@example.org`. `--listen ADDR` sets the
//! address. `kill -HUP PID` reads the certificate again.
//!
//! What a server must not get wrong here:
//!
//! - commands that an attacker appends to STARTTLS are refused, and everything that the client said
//!   before is forgotten;
//! - a message ends with a dot between two CRLFs and with nothing else, or it could contain commands
//!   that another server sees and this one does not (CVE-2023-51764);
//! - lines, recipients, messages and mistakes are limited.

#[path = "common/mod.rs"]
mod common;

use clap::Parser;
use reagent::{BoxError, Connection, Rejected, Server};
use reagent_layers::{timeout::TimeoutsLayer, tls::TlsLayer};
use std::{io, path::PathBuf, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// The longest line, with its end: RFC 5321, section 4.5.3.1.6.
const MAX_LINE: usize = 1000;
const MAX_RECIPIENTS: usize = 100;
const MAX_MESSAGE: usize = 10 * 1024 * 1024;
const MAX_MISTAKES: usize = 20;

#[derive(Parser)]
#[command(about = "A sink for mail")]
struct Options {
    /// Address to listen on: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2525")]
    listen: String,
    /// Certificate chain, in PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: PathBuf,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
}

type Client = BufReader<Connection>;

/// A message that is being sent.
#[derive(Default)]
struct Mail {
    from: Option<String>,
    to: Vec<String>,
}

/// Serves one client until it leaves.
async fn serve(conn: Connection, tls: TlsLayer) -> Result<(), BoxError> {
    // Commands and replies are lines, so both sides can tell that one was cut short.
    conn.set_delimited();
    let draining = conn.draining();
    tokio::pin!(draining);
    let mut client = BufReader::new(conn);
    let mut mail = Mail::default();
    let mut mistakes = 0;
    reply(&mut client, "220 reagent ESMTP").await?;
    loop {
        let mut line = Vec::new();
        tokio::select! {
            read = read_line(&mut client, &mut line) => if !read? { return Ok(()) },
            () = &mut draining => return leave(client, "421 the server is shutting down").await,
        }
        let line = String::from_utf8_lossy(&line);
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let is_secure = client.get_ref().is_secure();
        let answer = match (&*command.to_ascii_uppercase(), argument) {
            ("EHLO", _) => {
                mail = Mail::default();
                let starttls = if is_secure { "" } else { "250-STARTTLS\r\n" };
                &format!("250-reagent\r\n{starttls}250-PIPELINING\r\n250 SIZE {MAX_MESSAGE}")
            }
            ("HELO", _) => {
                mail = Mail::default();
                "250 reagent"
            }
            ("STARTTLS", "") if !is_secure => {
                reply(&mut client, "220 go ahead").await?;
                // Refuses a client whose next command is in the buffer already.
                client = BufReader::new(tls.accept_buffered(client).await?.boxed());
                mail = Mail::default();
                continue;
            }
            ("QUIT", _) => return leave(client, "221 bye").await,
            ("NOOP", _) => "250 OK",
            ("RSET", "") => {
                mail = Mail::default();
                "250 OK"
            }
            ("MAIL" | "RCPT" | "DATA", _) if !is_secure => "530 STARTTLS is required",
            ("MAIL", _) if mail.from.is_some() => "503 a message has been begun",
            ("MAIL", argument) => match path(argument, "FROM:") {
                Some(from) => {
                    mail.from = Some(from);
                    "250 OK"
                }
                None => "501 expected MAIL FROM:<ADDRESS>",
            },
            ("RCPT", _) if mail.from.is_none() => "503 expected MAIL first",
            ("RCPT", _) if mail.to.len() == MAX_RECIPIENTS => "452 too many recipients",
            ("RCPT", argument) => match path(argument, "TO:").filter(|to| !to.is_empty()) {
                Some(to) => {
                    mail.to.push(to);
                    "250 OK"
                }
                None => "501 expected RCPT TO:<ADDRESS>",
            },
            ("DATA", "") if mail.to.is_empty() => "503 expected RCPT first",
            ("DATA", "") => {
                reply(&mut client, "354 end with a dot on a line of its own").await?;
                let Mail { from, to } = std::mem::take(&mut mail);
                match receive(&mut client).await? {
                    Some(len) => {
                        let from = from.unwrap_or_default();
                        common::print(format_args!("{len} bytes from {from:?} to {to:?}"));
                        "250 OK"
                    }
                    None => "552 the message is too large",
                }
            }
            _ => "500 unknown command",
        };
        reply(&mut client, answer).await?;
        mistakes += usize::from(answer.starts_with('5'));
        if mistakes > MAX_MISTAKES {
            return leave(client, "421 too many mistakes").await;
        }
    }
}

/// Returns the address of `FROM:<ADDRESS>`, and ignores parameters.
fn path(argument: &str, prefix: &str) -> Option<String> {
    let (start, rest) = argument.split_at_checked(prefix.len())?;
    let (path, _) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    start.eq_ignore_ascii_case(prefix).then(|| path.to_owned())
}

/// Reads a message, and returns its length, or `None` if it is too large.
async fn receive(client: &mut Client) -> Result<Option<usize>, BoxError> {
    let mut len = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if !read_line(client, &mut line).await? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if line == b"." {
            return Ok((len <= MAX_MESSAGE).then_some(len));
        }
        // The client doubles a dot at the beginning of a line.
        let text = line.strip_prefix(b".").unwrap_or(&line);
        len += text.len() + 2;
        if len > 2 * MAX_MESSAGE {
            return Err(Rejected::new("message size").into());
        }
    }
}

/// Reads a line without its end, or returns false at the end of the stream. A line ends with CRLF; a
/// single CR or LF in it is an error.
async fn read_line(client: &mut Client, line: &mut Vec<u8>) -> Result<bool, BoxError> {
    let mut limited = (&mut *client).take(MAX_LINE as u64);
    if limited.read_until(b'\n', line).await? == 0 {
        return Ok(false);
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) if !text.contains(&b'\r') => line.truncate(text.len()),
        _ => {
            reply(
                client,
                "500 expected lines of at most 1000 bytes that end with CRLF",
            )
            .await?;
            return Err(Rejected::new("line").into());
        }
    }
    Ok(true)
}

async fn reply(client: &mut Client, text: &str) -> io::Result<()> {
    client.write_all(format!("{text}\r\n").as_bytes()).await?;
    client.flush().await
}

/// Sends the last reply and ends the connection.
async fn leave(mut client: Client, text: &str) -> Result<(), BoxError> {
    reply(&mut client, text).await?;
    Ok(client.shutdown().await?)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    let tls = TlsLayer::from_pem_files(&options.tls_cert, &options.tls_key)?;
    let reloader = tls.reloader();
    let reloading = common::on_reload(async || {
        if let Err(error) = reloader.reload().await {
            eprintln!("the old certificate stays in use: {error:?}");
        }
    })?;
    let signal = common::signal()?;
    // RFC 5321, section 4.5.3.2.7.
    let timeouts = TimeoutsLayer::new().idle(Duration::from_secs(300));
    let server = Server::bind(options.listen)
        .options(common::keepalive)
        .layer(timeouts)
        .start(reagent::handle(move |conn| serve(conn, tls.clone())))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    tokio::select! {
        drained = common::drain_on(&server, signal, Duration::from_secs(10)) => drop(drained?),
        never = reloading => match never {},
    }
    Ok(())
}
