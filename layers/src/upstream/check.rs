//! What an upstream has to do to pass a check.

use reagent::BoxError;
use std::{borrow::Cow, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest time that can be set: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest line that an HTTP response may begin with.
const LONGEST_LINE: usize = 1024;

/// A check of upstreams, and how often it is made: see
/// [`Upstreams::check`](super::Upstreams::check).
#[derive(Clone, Debug)]
#[must_use]
pub struct Check {
    exchange: Exchange,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: u32,
    pub(super) fall: u32,
}

#[derive(Clone, Debug)]
enum Exchange {
    Connect,
    Bytes {
        send: Cow<'static, [u8]>,
        expect: Cow<'static, [u8]>,
    },
    Http {
        request: String,
    },
}

impl Check {
    fn new(exchange: Exchange) -> Self {
        Check {
            exchange,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }

    /// Requires that the connector of the check can connect. That is a check of TCP, of TLS, or of
    /// anything else that the connector does.
    pub fn connect() -> Self {
        Check::new(Exchange::Connect)
    }

    /// Sends some bytes, which may be none, and requires that the response begins with `expect`.
    pub fn bytes(
        send: impl Into<Cow<'static, [u8]>>,
        expect: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Check::new(Exchange::Bytes {
            send: send.into(),
            expect: expect.into(),
        })
    }

    /// Requests a path by HTTP/1.1, and requires a status from 200 to 399.
    ///
    /// # Panics
    ///
    /// Panics if `host` or `path` has spaces, control characters or characters outside of ASCII, or `path` does not begin with a
    /// slash.
    pub fn http(host: &str, path: &str) -> Self {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(
            is_word(host) && is_word(path) && path.starts_with('/'),
            "invalid host or path for a check: {host:?}, {path:?}"
        );
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: reagent\r\nConnection: close\r\n\r\n"
        );
        Check::new(Exchange::Http { request })
    }

    /// Sets the time from one check of an upstream to the next. The default is 2 s. Each time is
    /// random between three quarters and five quarters of it, so that checks of many instances
    /// spread.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Sets the time limit of a check. The default is 2 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit.min(LONGEST);
        self
    }

    /// Sets the number of checks in a row after which an upstream that is down is up again. The
    /// default is 2. That number of checks ends an ejection too.
    pub fn rise(mut self, checks: u32) -> Self {
        self.rise = checks.max(1);
        self
    }

    /// Sets the number of failed checks in a row after which an upstream is down. The default is 3.
    /// The first check of an upstream decides alone.
    pub fn fall(mut self, checks: u32) -> Self {
        self.fall = checks.max(1);
        self
    }

    /// Makes the exchange on a connection.
    pub(super) async fn exchange(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), BoxError> {
        match &self.exchange {
            Exchange::Connect => Ok(()),
            Exchange::Bytes { send, expect } => {
                stream.write_all(send).await?;
                stream.flush().await?;
                let mut answer = Vec::new();
                let mut bytes = stream.take(expect.len() as u64);
                while answer.len() < expect.len() {
                    let is_end = bytes.read_buf(&mut answer).await? == 0;
                    if is_end || !expect.starts_with(&answer) {
                        let (expect, answer) = (expect.escape_ascii(), answer.escape_ascii());
                        return Err(format!("expected \"{expect}\", received \"{answer}\"").into());
                    }
                }
                Ok(())
            }
            Exchange::Http { request } => {
                stream.write_all(request.as_bytes()).await?;
                stream.flush().await?;
                let mut line = Vec::new();
                while !line.ends_with(b"\n") && line.len() < LONGEST_LINE {
                    match stream.read_u8().await {
                        Ok(byte) => line.push(byte),
                        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                match status(&line) {
                    Some(200..=399) => Ok(()),
                    Some(status) => Err(format!("the check was answered with {status}").into()),
                    None => Err("the check was not answered by HTTP/1".into()),
                }
            }
        }
    }
}

/// Returns the status of a status line.
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    let mut words = line.trim_end().split(' ');
    let _minor = words.next()?;
    let status = words.next().filter(|status| status.len() == 3)?;
    status.parse().ok()
}
