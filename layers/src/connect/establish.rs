//! The last step of a TCP connection: waiting until it is established.

use socket2::Socket;
use std::{io, net::SocketAddr};
use tokio::net::TcpStream;

/// Connects a socket that does not block.
///
/// Tokio asks for the error of the socket (`SO_ERROR`) once it is writable. A peer may have
/// accepted, answered and reset the connection by then: the answer is still in the queue, and would
/// be lost with the socket. So this looks into the queue instead. Linux reports the error of a socket
/// only after everything in its queue.
#[cfg(target_os = "linux")]
pub(super) async fn establish(socket: Socket, addr: SocketAddr) -> io::Result<TcpStream> {
    use rustix::io::Errno;
    use std::mem::MaybeUninit;

    let in_progress = Some(Errno::INPROGRESS.raw_os_error());
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != in_progress => return Err(error),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match socket2::SockRef::from(&stream).peek(&mut [MaybeUninit::uninit()]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        // A byte, an end, or nothing yet.
        _ => Ok(stream),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) async fn establish(socket: Socket, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    socket.connect(addr).await
}
