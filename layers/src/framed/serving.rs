//! The loop between a connection's bytes and a service's answers.

use super::{
    FRAME_TIMEOUT, FrameError, IntoAnswer, OnError, Settings, WRITE_TIMEOUT, future::Begun,
    in_flight::InFlight, input::Input, output::Output, push::Pushed,
};
use crate::{io::buffers::CHUNK, time::DeadlineTimer};
use reagent::{BoxError, Connection, Draining, IoStream, Linger, TimedOut};
use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;

/// The number of frames after which the task yields: as many operations as the budget of a Tokio
/// task allows.
const FRAMES_AT_ONCE: usize = 128;

/// A connection that is being served.
pub(super) struct State<R, Io, C, S, Q> {
    /// Dropped before the connection, which has to know whether anything is left.
    output: Output,
    conn: Connection<Io>,
    codec: C,
    service: S,
    settings: Arc<Settings<R>>,
    input: Input,
    /// A frame that waits until the service is ready.
    waiting: Option<Q>,
    pushed: Option<Pushed<R>>,
    draining: Draining,
    /// The number of bytes that may still be read during a drain.
    last_read: Option<usize>,
    phase: Phase,
}

// ## Open => Finishing => Closing; the connection may end in any of them
enum Phase {
    Open,
    /// No more frames are taken. Those taken already are answered.
    Finishing(Option<FrameError>),
    /// The last answer is being written.
    Closing(Result<(), BoxError>),
}

/// How to end a connection once everything is written.
pub(super) enum Ending {
    /// Both sides are closed.
    Closed(Result<(), BoxError>),
    /// The client may still send, so the close has to linger.
    Linger(Result<(), BoxError>),
}

/// The reason to take no more frames for now.
enum Stop {
    /// More has to be read.
    Hungry,
    /// The service is not ready, or as many requests as allowed are in flight.
    Busy,
    /// The client has to read its answers first.
    Full,
    /// Other tasks have their turn.
    Yield,
    Ending,
}

impl<R, Io, C, S, Q> State<R, Io, C, S, Q> {
    pub(super) fn new(begun: Begun<R, Io>, (codec, service): (C, S)) -> Self {
        let Begun {
            conn,
            settings,
            pushed,
        } = begun;
        State {
            output: Output::new(conn.handle(), settings.write_buffer, settings.write_timeout),
            draining: conn.draining(),
            conn,
            codec,
            service,
            input: Input::new(&settings),
            settings,
            waiting: None,
            pushed,
            last_read: None,
            phase: Phase::Open,
        }
    }

    /// Returns what a lingering close needs.
    pub(super) fn into_closing(self) -> (Connection<Io>, Linger) {
        (self.conn, self.settings.linger)
    }
}

impl<R, Io, C, S> State<R, Io, C, S, C::Item>
where
    Io: IoStream,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response: IntoAnswer<R, C>>,
    S::Error: Into<BoxError>,
{
    /// Serves frames until everything is written.
    pub(super) fn poll(
        &mut self,
        mut in_flight: Pin<&mut InFlight<S::Future>>,
        timer: Pin<&mut DeadlineTimer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ending, BoxError>> {
        let state = self;
        let mut budget = FRAMES_AT_ONCE;
        while matches!(state.phase, Phase::Open | Phase::Finishing(_)) {
            if state.conn.is_draining() {
                state.last_read.get_or_insert(CHUNK);
            }
            state.answers(in_flight.as_mut(), cx);
            state.pushes(cx);
            let stop = state.frames(in_flight.as_mut(), cx, &mut budget);
            match stop {
                Stop::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stop::Ending if in_flight.len() == 0 => state.finish(),
                _ => {}
            }
            if let Phase::Closing(_) = state.phase {
                in_flight.set(InFlight::new());
                state.pushed = None;
                break;
            }
            let was_full = state.output.is_full();
            let is_written = state.output.poll_write(cx, state.conn.io_mut())?.is_ready();
            if was_full && !state.output.is_full() {
                continue;
            }
            let deadline = match stop {
                Stop::Hungry => {
                    if state.read(cx)?.is_ready() {
                        continue;
                    }
                    state.input.deadline()
                }
                _ => {
                    state.input.pause();
                    None
                }
            };
            if state.last_read.is_none() && Pin::new(&mut state.draining).poll(cx).is_ready() {
                continue;
            }
            let is_hungry = matches!(stop, Stop::Hungry) && !state.input.has_part();
            let is_idle = is_hungry && is_written && in_flight.len() == 0;
            state.output.handle.set_busy(!is_idle);
            return state.wait(cx, timer, is_written, deadline).map(Err);
        }
        state.close(cx, timer).map(Ok)
    }
}

impl<R, Io, C, S> State<R, Io, C, S, C::Item>
where
    Io: IoStream,
    C: Decoder + Encoder<R>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<R>>::Error: Into<BoxError>,
    S: Service<C::Item, Response: IntoAnswer<R, C>>,
    S::Error: Into<BoxError>,
{
    /// Encodes the answers that are ready.
    fn answers(&mut self, mut in_flight: Pin<&mut InFlight<S::Future>>, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(result)) = in_flight.as_mut().poll_next(cx) {
            if !self.answer(result) {
                return;
            }
        }
    }

    /// Encodes an answer. Returns `false` if it is the last.
    #[inline]
    fn answer(&mut self, result: Result<S::Response, S::Error>) -> bool {
        if self
            .pushed
            .as_ref()
            .is_some_and(|pushed| !pushed.is_empty())
        {
            self.take_pushes();
        }
        match result {
            Ok(response) => {
                if let Some(frame) = response.into_answer() {
                    self.send_answer(frame);
                }
            }
            Err(error) => {
                let error = FrameError::Service(error.into());
                match self.settings.on_error(&error) {
                    OnError::Answer(frame) => {
                        if let Err(error) = self.output.encode(&mut self.codec, frame) {
                            self.fail(error);
                        }
                    }
                    then => self.fail_with(then, error),
                }
            }
        }
        matches!(self.phase, Phase::Open | Phase::Finishing(_))
    }

    fn send_answer(&mut self, frame: R) {
        let is_last = match &self.settings.close_after {
            Some(is_last) => is_last(&frame),
            None => false,
        };
        if let Err(error) = self.output.encode(&mut self.codec, frame) {
            self.fail(error);
        } else if is_last {
            self.phase = Phase::Closing(Ok(()));
        }
    }

    fn fail(&mut self, error: FrameError) {
        let then = self.settings.on_error(&error);
        self.fail_with(then, error);
    }

    /// Answers the client, if wanted and possible, and closes.
    fn fail_with(&mut self, then: OnError<R>, error: FrameError) {
        if let OnError::Answer(frame) | OnError::AnswerAndClose(frame) = then {
            // If the frame cannot be encoded, the connection is closed all the same.
            let _ = self.output.encode(&mut self.codec, frame);
        }
        self.phase = Phase::Closing(Err(error.into()));
    }

    /// Encodes pushed frames, as long as the client takes them.
    fn pushes(&mut self, cx: &mut Context<'_>) {
        while !self.output.is_full() && self.pushed.as_mut().is_some_and(|pushed| pushed.poll(cx)) {
            self.take_pushes();
        }
    }

    fn take_pushes(&mut self) {
        let Some(pushed) = &mut self.pushed else {
            return;
        };
        let mut failure = None;
        for frame in pushed.take() {
            if failure.is_none() {
                failure = self.output.encode(&mut self.codec, frame).err();
            }
        }
        if let Some(error) = failure {
            self.fail(error);
        }
    }

    /// Passes frames to the service one by one, as long as there are any and it is ready.
    fn frames(
        &mut self,
        mut in_flight: Pin<&mut InFlight<S::Future>>,
        cx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Stop {
        loop {
            if !matches!(self.phase, Phase::Open) {
                return Stop::Ending;
            }
            if in_flight.len() >= self.settings.in_flight {
                return Stop::Busy;
            }
            if self.output.is_full() {
                return Stop::Full;
            }
            if *budget == 0 {
                return Stop::Yield;
            }
            // The frame comes before the readiness of the service, so that an idle client reserves
            // nothing.
            let frame = match self.waiting.take() {
                Some(frame) => frame,
                None => match self.input.next(&mut self.codec) {
                    Ok(Some(frame)) => frame,
                    Ok(None) if self.input.is_eof() => {
                        self.phase = Phase::Finishing(None);
                        continue;
                    }
                    Ok(None) => return Stop::Hungry,
                    Err(error) => {
                        self.phase = Phase::Finishing(Some(error));
                        continue;
                    }
                },
            };
            match self.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.phase = Phase::Finishing(Some(FrameError::Service(error.into())));
                    continue;
                }
                Poll::Pending => {
                    self.waiting = Some(frame);
                    return Stop::Busy;
                }
            }
            *budget -= 1;
            in_flight.as_mut().push(self.service.call(frame));
            self.answers(in_flight.as_mut(), cx);
        }
    }

    /// Reads what is there; pending if there is nothing, after which a drain takes no more frames.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.last_read == Some(0) {
            self.phase = Phase::Finishing(None);
            return Poll::Ready(Ok(()));
        }
        let polled = self.input.poll_read(cx, self.conn.io_mut())?;
        match (&mut self.last_read, &polled) {
            (Some(left), Poll::Ready(n)) => *left = left.saturating_sub(*n),
            (Some(left), Poll::Pending) => {
                *left = 0;
                return self.read(cx);
            }
            (None, _) => {}
        }
        polled.map(|_| Ok(()))
    }

    /// Waits until a time limit has passed, or something else wakes the task.
    fn wait(
        &mut self,
        cx: &mut Context<'_>,
        timer: Pin<&mut DeadlineTimer>,
        is_written: bool,
        frame: Option<Instant>,
    ) -> Poll<BoxError> {
        let write = match is_written {
            true => None,
            false => self.output.deadline(),
        };
        let first = match (frame, write) {
            (Some(frame), Some(write)) => Some(frame.min(write)),
            (frame, write) => frame.or(write),
        };
        let Some(deadline) = first else {
            return Poll::Pending;
        };
        ready!(timer.poll(cx, deadline));
        let kind = match write == first {
            true => WRITE_TIMEOUT,
            false => FRAME_TIMEOUT,
        };
        if (self.settings.dry_run).spares(self.conn.as_ref(), "framed", kind) {
            self.input.lift_timeout();
            self.output.lift_timeout();
            return Poll::Pending;
        }
        Poll::Ready(TimedOut::new(kind).into())
    }

    /// Begins to close, once all requests are answered.
    fn finish(&mut self) {
        if let Phase::Finishing(error) = &mut self.phase {
            match error.take() {
                Some(error) => self.fail(error),
                None => self.phase = Phase::Closing(Ok(())),
            }
        }
    }

    /// Writes what is left. If the client has ended its side, shuts down the stream too.
    fn close(&mut self, cx: &mut Context<'_>, timer: Pin<&mut DeadlineTimer>) -> Poll<Ending> {
        let mut written = self.output.poll_write(cx, self.conn.io_mut());
        if written.is_ready() && self.input.is_eof() {
            written = Pin::new(self.conn.io_mut()).poll_shutdown(cx);
        }
        let Poll::Ready(written) = written else {
            let timed_out = self.wait(cx, timer, false, None);
            return timed_out.map(|error| Ending::Closed(Err(error)));
        };
        let end = match mem::replace(&mut self.phase, Phase::Closing(Ok(()))) {
            Phase::Closing(end) => end,
            Phase::Open | Phase::Finishing(_) => Ok(()),
        };
        // A client that is gone needs no lingering close.
        Poll::Ready(match self.input.is_eof() || written.is_err() {
            true => Ending::Closed(end),
            false => Ending::Linger(end),
        })
    }
}
