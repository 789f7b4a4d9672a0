//! The body of an answer.

use super::activity::{Activity, Busy};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Buf, Bytes};
use pin_project_lite::pin_project;
use std::{
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll},
};

/// The largest piece that h2 is given at once, which is the size of a DATA frame. h2 takes a piece
/// whole as soon as its client takes a byte of it, and nothing can tell how much of it h2 still
/// holds.
const PIECE: usize = 16 * 1024;

pin_project! {
    /// The body of an answer; an empty one if there is no body.
    pub(super) struct Answer<B: Body> {
        #[pin]
        body: Option<B>,
        busy: Busy,
        // Whether the data is cut into pieces (HTTP/2).
        is_cut: bool,
        // What is left of the data that was cut last.
        rest: Option<B::Data>,
    }
}

/// Takes a piece of `data`, and puts the rest into `rest`.
fn cut<D: Buf>(mut data: D, rest: &mut Option<D>, activity: &Activity) -> AnswerData<D> {
    if data.has_remaining() {
        activity.block();
    }
    if data.remaining() <= PIECE {
        return AnswerData::Whole(data);
    }
    let piece = data.copy_to_bytes(PIECE);
    *rest = Some(data);
    AnswerData::Piece(piece)
}

impl<B: Body> Answer<B> {
    pub(super) fn new(body: Option<B>, busy: Busy, is_cut: bool) -> Self {
        Answer {
            body,
            busy,
            is_cut,
            rest: None,
        }
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = AnswerData<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else {
            return Poll::Ready(None);
        };
        if !*this.is_cut {
            let polled = body.poll_frame(cx);
            return polled.map_ok(|frame| frame.map_data(AnswerData::Whole));
        }
        let (rest, activity) = (this.rest, this.busy.activity());
        // hyper asks for more once the client has taken a byte of the last piece.
        activity.unblock();
        if let Some(data) = rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(cut(data, rest, activity)))));
        }
        let polled = body.poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|data| cut(data, rest, activity)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// A piece of an answer.
pub(super) enum AnswerData<D> {
    Whole(D),
    Piece(Bytes),
}

impl<D: Buf> Buf for AnswerData<D> {
    fn remaining(&self) -> usize {
        match self {
            AnswerData::Whole(data) => data.remaining(),
            AnswerData::Piece(piece) => piece.len(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            AnswerData::Whole(data) => data.chunk(),
            AnswerData::Piece(piece) => piece,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            AnswerData::Whole(data) => data.chunks_vectored(slices),
            AnswerData::Piece(piece) => piece.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, n: usize) {
        match self {
            AnswerData::Whole(data) => data.advance(n),
            AnswerData::Piece(piece) => piece.advance(n),
        }
    }

    fn copy_to_bytes(&mut self, n: usize) -> Bytes {
        match self {
            AnswerData::Whole(data) => data.copy_to_bytes(n),
            AnswerData::Piece(piece) => piece.copy_to_bytes(n),
        }
    }
}
