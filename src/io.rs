//! The trait of streams, and how a wrapper passes calls on to its stream.

use std::{
    any::{Any, TypeId},
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use sync_wrapper::SyncWrapper;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An alias for every stream of bytes that a connection can carry. It is implemented for all
/// matching types.
pub trait IoStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> IoStream for T {}

/// Implements `AsyncRead` and `AsyncWrite` by passing every call on to the inner stream.
macro_rules! delegate_io {
    (impl[$($generics:tt)*] for $type:ty { $($pattern:pat => $io:expr),+ $(,)? }) => {
        impl<$($generics)*> ::tokio::io::AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_read(cx, buf)),+ }
            }
        }

        $crate::io::delegate_writes!(impl[$($generics)*] for $type { $($pattern => $io),+ });
    };
}
pub(crate) use delegate_io;

/// Implements `AsyncWrite` by passing every call on to the inner stream.
macro_rules! delegate_writes {
    (impl[$($generics:tt)*] for $type:ty { $($pattern:pat => $io:expr),+ $(,)? }) => {
        impl<$($generics)*> ::tokio::io::AsyncWrite for $type {
            #[inline]
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_write(cx, buf)),+ }
            }

            #[inline]
            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() {
                    $($pattern => ::std::pin::Pin::new($io).poll_write_vectored(cx, bufs)),+
                }
            }

            #[inline]
            fn is_write_vectored(&self) -> bool {
                match self { $($pattern => $io.is_write_vectored()),+ }
            }

            #[inline]
            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_flush(cx)),+ }
            }

            #[inline]
            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_shutdown(cx)),+ }
            }
        }
    };
}
pub(crate) use delegate_writes;

/// A boxed stream that only its owner uses.
///
/// Streams need not be `Sync`, but a connection must be, since an async function that borrows one
/// holds a reference to it across an `await`. A shared reference to this type gives no access to
/// the stream, so it is `Sync` whatever the box contains.
pub(crate) struct BoxedStream {
    io: SyncWrapper<Box<dyn AnyStream>>,
    is_write_vectored: bool,
}

impl BoxedStream {
    pub(crate) fn new(io: impl IoStream) -> Self {
        BoxedStream {
            is_write_vectored: io.is_write_vectored(),
            io: SyncWrapper::new(Box::new(io)),
        }
    }

    fn pinned(self: Pin<&mut Self>) -> Pin<&mut dyn AnyStream> {
        Pin::new(&mut **self.get_mut().io.get_mut())
    }

    /// Returns the stream in the box if it is a `T`.
    pub(crate) fn downcast<T: 'static>(mut self) -> Result<T, Self> {
        if !(**self.io.get_mut()).is(TypeId::of::<T>()) {
            return Err(self);
        }
        match self.io.into_inner().into_any().downcast() {
            Ok(io) => Ok(*io),
            Err(_) => unreachable!("its type was compared above"),
        }
    }
}

/// A stream that knows its type.
trait AnyStream: IoStream {
    fn is(&self, id: TypeId) -> bool;

    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: IoStream> AnyStream for T {
    fn is(&self, id: TypeId) -> bool {
        TypeId::of::<T>() == id
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl AsyncRead for BoxedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned().poll_read(cx, buf)
    }
}

impl AsyncWrite for BoxedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_write_vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
}

impl fmt::Debug for BoxedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed")
    }
}
