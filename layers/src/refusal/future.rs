//! The future of a service that serves a connection or refuses it.

use super::Refusal;
use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, IoStream, limit::Permit};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The future of a service that either serves a connection or refuses it, as decided in `call`.
    ///
    /// Only a refusal is boxed. Serving a connection allocates nothing here.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct LimitFuture<F> {
        #[pin]
        state: State<F>,
    }
}

type Refusing = Pin<Box<dyn Future<Output = BoxError> + Send>>;

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Serving { #[pin] inner: F, permit: Option<Permit> },
        Refusing { refusing: Refusing },
    }
}

impl<F> LimitFuture<F> {
    /// Serves the connection and holds the permit until that is done.
    pub(crate) fn serving(inner: F, permit: Option<Permit>) -> Self {
        LimitFuture {
            state: State::Serving { inner, permit },
        }
    }

    /// Refuses `conn` for `reason`.
    pub(crate) fn refusing<Io: IoStream>(
        refusal: &Refusal,
        conn: Connection<Io>,
        reason: &'static str,
    ) -> Self {
        let refusal = refusal.clone();
        Self::ending(async move { refusal.refuse(conn, reason).await })
    }

    /// Ends the connection with the error of `refusing`.
    pub(crate) fn ending(refusing: impl Future<Output = BoxError> + Send + 'static) -> Self {
        LimitFuture {
            state: State::Refusing {
                refusing: Box::pin(refusing),
            },
        }
    }
}

impl<F, T, E> Future for LimitFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Serving { inner, .. } => inner.poll(cx).map_err(Into::into),
            StateProj::Refusing { refusing } => refusing.as_mut().poll(cx).map(Err),
        }
    }
}

impl<F> fmt::Debug for LimitFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LimitFuture")
    }
}
