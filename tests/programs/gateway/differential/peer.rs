//! A client or an upstream with full control over FIN, `close_notify` and reset.

use super::case::{Case, Ending, Finish, Got};
use crate::{gateway::in_time, support::LONG};
use socket2::{SockRef, Socket};
use std::{
    io::{self, ErrorKind},
    net::{Shutdown, TcpStream as StdTcpStream},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A stream and a separate handle to its socket.
pub struct Peer {
    io: Box<dyn Io>,
    socket: Socket,
    is_tls: bool,
}

pub const ANSWER: usize = 1000;

impl Peer {
    pub fn plain(io: impl Io + AsFd + 'static) -> Self {
        let socket = io.as_fd().try_clone_to_owned().unwrap().into();
        Peer {
            io: Box::new(io),
            socket,
            is_tls: false,
        }
    }

    pub fn with_tls(self, io: impl Io + 'static) -> Self {
        Peer {
            io: Box::new(io),
            socket: self.socket,
            is_tls: true,
        }
    }

    /// Takes out the plain stream, to wrap it in TLS.
    pub fn take_io(&mut self) -> Box<dyn Io> {
        std::mem::replace(&mut self.io, Box::new(tokio::io::empty()))
    }

    /// Sends a byte to the other side. If an upstream resets while a proxy is still connecting, the
    /// proxy sees a failed connect, and HAProxy connects again.
    pub async fn meet(&mut self, other: &mut Peer) {
        self.io.write_all(b"?").await.unwrap();
        self.io.flush().await.unwrap();
        let mut byte = [0];
        in_time(other.io.read_exact(&mut byte)).await.unwrap();
    }

    /// Sends everything and ends. Returns what it receives then.
    pub async fn first(mut self, case: Case) -> Option<Got> {
        let sent = async {
            self.io.write_all(&pattern(case.size)).await?;
            self.io.flush().await
        };
        sent.await.expect("sent");
        match case.finish {
            Finish::Fin | Finish::HalfClose => self.io.shutdown().await.unwrap(),
            Finish::Cut | Finish::HalfCut => self.socket.shutdown(Shutdown::Write).unwrap(),
            Finish::Reset => {
                handed_over(&self.socket).await.unwrap();
                self.socket.set_linger(Some(Duration::ZERO)).unwrap();
                return None;
            }
        }
        Some(self.read(false).await)
    }

    /// Reads everything, and replies if the case requires it.
    pub async fn second(mut self, case: Case) -> Got {
        let got = self.read(case.is_slow).await;
        if case.finish.is_answered() {
            // The other side checks whether it arrives.
            let _ = self.io.write_all(&pattern(ANSWER)).await;
        }
        let _ = self.io.shutdown().await;
        got
    }

    async fn read(&mut self, is_slow: bool) -> Got {
        let mut got = Got {
            bytes: 0,
            is_intact: true,
            ending: Ending::Never,
        };
        if is_slow {
            sleep(Duration::from_millis(50)).await;
        }
        let mut chunk = vec![0; 64 * 1024];
        let expected = pattern(chunk.len() + PERIOD);
        loop {
            let Ok(read) = timeout(LONG, self.io.read(&mut chunk)).await else {
                return got;
            };
            match read {
                Ok(0) => got.ending = Ending::Fin,
                Ok(n) => {
                    let at = got.bytes % PERIOD;
                    got.is_intact &= chunk[..n] == expected[at..at + n];
                    got.bytes += n;
                    if is_slow {
                        sleep(Duration::from_millis(2)).await;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.is_tls => {
                    got.ending = Ending::Cut;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    got.ending = Ending::Reset;
                }
                Err(error) => panic!("{error:?}"),
            }
            return got;
        }
    }
}

/// The period of the pattern, a prime number.
const PERIOD: usize = 251;

fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..PERIOD as u8).collect();
    let mut bytes = period.repeat(len.div_ceil(PERIOD));
    bytes.truncate(len);
    bytes
}

/// Waits until the peer's kernel has received everything. The socket cannot be written to
/// afterwards.
async fn handed_over(socket: &Socket) -> io::Result<()> {
    let options = SockRef::from(socket);
    // Only TCP has this option. Other sockets have already delivered everything.
    if options.set_tcp_notsent_lowat(1).is_ok() {
        options.set_send_buffer_size(1)?;
        let again = StdTcpStream::from(OwnedFd::from(socket.try_clone()?));
        timeout(LONG, TcpStream::from_std(again)?.writable()).await??;
    }
    Ok(())
}
