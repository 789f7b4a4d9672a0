//! The loop that turns a connection into callbacks.

use super::{Context, Mailbox, Options, Session, context::State};
use crate::{
    BoxError, Connection, Outcome,
    panic::{catch, discard, poll_catching},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

/// So many waiting messages are handled before what they sent is written.
const MESSAGES_AT_ONCE: usize = 32;

pub(super) async fn run<S: Session>(
    session: S,
    mut conn: Connection,
    (mailbox, messages): (Mailbox<S::Message>, mpsc::Receiver<S::Message>),
    options: Options,
) -> Result<(), BoxError> {
    let mut state = State::new(options, mailbox);
    let mut session = Closing {
        session: Some(session),
        outcome: Outcome::Aborted,
    };

    let result = session
        .serve(&mut conn, &mut state, messages, options.read_buffer)
        .await;
    let outcome = match result {
        Ok(()) if conn.is_draining() => Outcome::Drained,
        Ok(()) => Outcome::Completed,
        Err(error) => Outcome::from_error(error),
    };
    session.outcome = outcome.clone();
    drop(session);
    outcome.into_result()
}

/// A session that is told of its end whatever that is.
struct Closing<S: Session> {
    session: Option<S>,
    outcome: Outcome,
}

impl<S: Session> Drop for Closing<S> {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        // This may be the drop of a panic or of an abort, where a panic would end the process.
        let _ = catch(|| session.on_close(&self.outcome));
        discard(session);
    }
}

enum Event<M> {
    Data(usize),
    Message(M),
    Timeout,
    Drain,
}

impl<S: Session> Closing<S> {
    async fn serve(
        &mut self,
        conn: &mut Connection,
        state: &mut State<S::Message>,
        mut messages: mpsc::Receiver<S::Message>,
        read_buffer: usize,
    ) -> Result<(), BoxError> {
        let Closing {
            session: Some(session),
            outcome,
        } = self
        else {
            return Ok(());
        };
        let mut buf = vec![0; read_buffer].into_boxed_slice();
        let mut draining = conn.draining();
        let mut is_told_of_drain = false;
        let mut is_eof = false;
        let mut alarm = pin!(sleep_until(Instant::now()));

        macro_rules! tell {
            ($callback:ident $(, $argument:expr)*) => {
                {
                    let mut cx = Context { conn: &mut *conn, state: &mut *state };
                    let (session, cx) = (&mut *session, &mut cx);
                    told(outcome, move || session.$callback(cx $(, $argument)*)).await?;
                }
            };
        }

        tell!(on_connect);
        loop {
            if state.is_closing {
                return state.shutdown(conn).await;
            }
            state.flush(conn).await?;

            let limit = state
                .next_read_timeout
                .or(state.read_timeout)
                .filter(|_| !is_eof);
            let began = Instant::now();
            let left = limit.map(|limit| limit.saturating_sub(state.silence));
            let deadline = left.and_then(|left| began.checked_add(left));
            let event = tokio::select! {
                () = &mut draining, if !is_told_of_drain => Event::Drain,
                Some(message) = messages.recv() => Event::Message(message),
                read = conn.read(&mut buf), if !is_eof => Event::Data(read?),
                () = until(alarm.as_mut(), deadline), if deadline.is_some() => Event::Timeout,
            };
            state.silence += began.elapsed();

            match event {
                Event::Data(0) => {
                    is_eof = true;
                    tell!(on_eof);
                }
                Event::Data(n) => {
                    state.silence = Duration::ZERO;
                    state.next_read_timeout = None;
                    let data = &buf[..n];
                    tell!(on_data, data);
                }
                Event::Message(message) => {
                    tell!(on_message, message);
                    for _ in 1..MESSAGES_AT_ONCE {
                        if state.is_closing {
                            break;
                        }
                        let Ok(message) = messages.try_recv() else {
                            break;
                        };
                        tell!(on_message, message);
                    }
                }
                Event::Timeout => {
                    state.silence = Duration::ZERO;
                    state.next_read_timeout = None;
                    tell!(on_timeout);
                }
                Event::Drain => {
                    is_told_of_drain = true;
                    tell!(on_drain);
                }
            }
        }
    }
}

/// Calls a callback and awaits it; should it panic, in either, that is how the session ends.
async fn told<F: Future<Output = Result<(), BoxError>>>(
    outcome: &mut Outcome,
    callback: impl FnOnce() -> F,
) -> Result<(), BoxError> {
    let result = match catch(callback) {
        Ok(callback) => {
            let mut callback = pin!(callback);
            poll_fn(|cx| match poll_catching(callback.as_mut(), cx) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            })
            .await
        }
        Err(panic) => Err(panic),
    };
    match result {
        Ok(result) => result,
        Err(panic) => {
            *outcome = Outcome::from_panic(&panic);
            panic.resume()
        }
    }
}

/// Waits until `deadline` by a timer that is moved only when it has to be: it is set when it would fire
/// too late, and when it fires too early set anew.
async fn until(mut alarm: std::pin::Pin<&mut Sleep>, deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return };
    loop {
        if alarm.deadline() > deadline || alarm.is_elapsed() {
            if Instant::now() >= deadline {
                return;
            }
            alarm.as_mut().reset(deadline);
        }
        alarm.as_mut().await;
        if alarm.deadline() >= deadline {
            return;
        }
    }
}
