//! What a service may respond.

use tokio_util::codec::Encoder;

/// The response of the service of a framed protocol: a frame to send, or an `Option` of one.
///
/// A service whose frames all have an answer responds with an `R` for which its codec `C` is an
/// `Encoder<R>`. One that leaves frames unanswered, such as notifications, responds with an
/// `Option<R>`: `None` sends nothing, and [`close_after`](super::FramedLayer::close_after) is not
/// called.
///
/// ```
/// use reagent::{Server, testing::MemoryListener};
/// use reagent_layers::framed::{FramedLayer, codec::LinesCodec};
/// use std::convert::Infallible;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let service = service_fn(|line: String| async move {
///     let is_note = line.starts_with('#');
///     Ok::<_, Infallible>((!is_note).then(|| line.to_uppercase()))
/// });
/// let (listener, clients) = MemoryListener::new();
/// let server =
///     Server::new(listener).layer(FramedLayer::new(LinesCodec::new())).start(service).await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"one\n# a note\ntwo\n").await?;
/// client.shutdown().await?;
/// let mut answers = String::new();
/// client.read_to_string(&mut answers).await?;
/// assert_eq!(answers, "ONE\nTWO\n");
/// # Ok(())
/// # }
/// ```
///
/// Every frame type and every `Option` of one implements it already. If a codec encodes both `R`
/// and `Option<R>`, name the frame type: `FramedLayer::<_, R>::new(codec)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an answer that `{C}` encodes",
    label = "neither a frame of `{C}` nor an `Option` of one",
    note = "the service must respond with an `R` for which the codec is an `Encoder<R>`, or with an `Option<R>` if some frames have no answer"
)]
pub trait IntoAnswer<R, C> {
    /// Returns the frame to send, or `None` if nothing is to be sent.
    fn into_answer(self) -> Option<R>;
}

impl<R, C: Encoder<R>> IntoAnswer<R, C> for R {
    #[inline]
    fn into_answer(self) -> Option<R> {
        Some(self)
    }
}

impl<R, C: Encoder<R>> IntoAnswer<R, C> for Option<R> {
    #[inline]
    fn into_answer(self) -> Option<R> {
        self
    }
}
