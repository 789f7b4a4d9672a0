//! The future of a service that serves or refuses.

use pin_project_lite::pin_project;
use reagent::BoxError;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The future of a service that serves a connection or refuses it.
    pub struct Gated<F> {
        #[pin]
        state: State<F>,
    }
}

type Refusing = Pin<Box<dyn Future<Output = BoxError> + Send>>;

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Serving { #[pin] inner: F, permit: Option<reagent::limit::Permit> },
        Refusing { refusing: Refusing },
    }
}

impl<F> Gated<F> {
    /// Serves, and has the permit as long as that takes.
    pub(super) fn serving(inner: F, permit: Option<reagent::limit::Permit>) -> Self {
        Gated {
            state: State::Serving { inner, permit },
        }
    }

    pub(super) fn refusing(refusing: impl Future<Output = BoxError> + Send + 'static) -> Self {
        Gated {
            state: State::Refusing {
                refusing: Box::pin(refusing),
            },
        }
    }
}

impl<F, T, E> Future for Gated<F>
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

impl<F> fmt::Debug for Gated<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gated")
    }
}
