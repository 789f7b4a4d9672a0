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

/// After this many frames others have their turn: as many as Tokio gives a task for what it waits for itself.
const FRAMES_AT_ONCE: usize = 128;

/// A connection that is being served.
pub(super) struct State<R, Io, C, S, Q> {
    conn: Connection<Io>,
    codec: C,
    service: S,
    settings: Arc<Settings<R>>,
    input: Input,
    output: Output,
    /// A frame for which the service is not ready.
    waiting: Option<Q>,
    pushed: Option<Pushed<R>>,
    draining: Draining,
    /// What may still be read when it is to finish.
    last_read: Option<usize>,
    phase: Phase,
}

// ## Open => Finishing => Closing, and from any to its end
enum Phase {
    Open,
    /// No more frames are taken; those that were are answered.
    Finishing(Option<FrameError>),
    /// The last answer is written.
    Closing(Result<(), BoxError>),
}

/// How a connection is to be ended, all having been written.
pub(super) enum Ending {
    /// It is closed in both directions.
    Closed(Result<(), BoxError>),
    /// The client may still send, so that it needs a lingering close.
    Linger(Result<(), BoxError>),
}

/// Why no more frames are taken now.
enum Stop {
    /// More has to be read.
    Hungry,
    /// The service is not ready, or serves as many as it may.
    Busy,
    /// The client has to read first.
    Full,
    /// Others have their turn.
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
            draining: conn.draining(),
            conn,
            codec,
            service,
            input: Input::new(&settings),
            output: Output::new(settings.write_buffer, settings.write_timeout),
            settings,
            waiting: None,
            pushed,
            last_read: None,
            phase: Phase::Open,
        }
    }

    /// What is left for a lingering close.
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
    /// Serves frames, until all is written that will be.
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
    /// Answers the requests that are done.
    fn answers(&mut self, mut in_flight: Pin<&mut InFlight<S::Future>>, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(result)) = in_flight.as_mut().poll_next(cx) {
            if !self.answer(result) {
                return;
            }
        }
    }

    /// Answers a request; `false` where that was the last.
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

    /// Tells the client, where that is wished and possible, and closes.
    fn fail_with(&mut self, then: OnError<R>, error: FrameError) {
        if let OnError::Answer(frame) | OnError::AnswerAndClose(frame) = then {
            // A client that cannot be told is closed all the same.
            let _ = self.output.encode(&mut self.codec, frame);
        }
        self.phase = Phase::Closing(Err(error.into()));
    }

    /// What was pushed, as far as the client takes it.
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

    /// Hands frames to the service, one after another, for as long as there are any and it takes them.
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
            // A frame first, and then the service's readiness: an idle client reserves nothing.
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

    /// Reads; pending where there is nothing to be read, which is the end of a connection that is to finish.
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

    /// Pending until a limit is reached, or something else wakes the task.
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
        Poll::Ready(TimedOut::new(kind).into())
    }

    /// All are answered that will be.
    fn finish(&mut self) {
        if let Phase::Finishing(error) = &mut self.phase {
            match error.take() {
                Some(error) => self.fail(error),
                None => self.phase = Phase::Closing(Ok(())),
            }
        }
    }

    /// Writes what is left. Where the client has ended its side, that is all there is to do.
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
        // A client that is gone already knows.
        Poll::Ready(match self.input.is_eof() || written.is_err() {
            true => Ending::Closed(end),
            false => Ending::Linger(end),
        })
    }
}
