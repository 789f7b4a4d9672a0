//! The loop that turns a connection into callbacks.

use super::{
    Context, Mailbox, Options, Session,
    context::State,
    outbox::{Outbox, WINDOW, too_slow},
};
use crate::{
    BoxError,
    connection::{Connection, ConnectionHandle},
    panic::{catch, discard},
};
use std::{
    future::pending,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

/// The number of waiting messages that are handled before what they sent is written.
const MESSAGES_AT_ONCE: usize = 32;

/// The deadline of a timer that is not set.
const FAR_AHEAD: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

pub(super) async fn run<S: Session>(
    session: S,
    mut conn: Connection,
    (mailbox, messages): (Mailbox<S::Message>, mpsc::Receiver<S::Message>),
    options: Options,
) -> Result<(), BoxError> {
    let mut state = State::new(options, mailbox);
    let mut session = Closing {
        session: Some(session),
        handle: conn.handle(),
    };
    let is_eof = session
        .serve(&mut conn, &mut state, messages, options.read_buffer)
        .await?;
    match options.linger {
        Some(linger) if !is_eof && state.outbox.has_written => {
            // Boxed, so that only sessions that linger hold it.
            Box::pin(conn.close_lingering(linger)).await;
            Ok(())
        }
        _ => state.outbox.shutdown(&mut conn).await,
    }
}

/// A session that is called when its connection is over, however that happens.
struct Closing<S: Session> {
    session: Option<S>,
    handle: ConnectionHandle,
}

impl<S: Session> Drop for Closing<S> {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        // The outcome is decided further out: a layer may have dropped this.
        self.handle.entry.on_end(Box::new(move |outcome| {
            // This may be the drop during a panic or an abort, where another panic would abort the
            // process.
            let _ = catch(|| session.on_close(outcome));
            discard(session);
        }));
    }
}
enum Event<M> {
    Data(usize),
    Written,
    Message(M),
    Timeout,
    Drain,
}

impl<S: Session> Closing<S> {
    /// Calls the session until it closes, and returns whether the client had ended its input.
    async fn serve(
        &mut self,
        conn: &mut Connection,
        state: &mut State<S::Message>,
        mut messages: mpsc::Receiver<S::Message>,
        read_buffer: usize,
    ) -> Result<bool, BoxError> {
        let Some(session) = &mut self.session else {
            return Ok(false);
        };
        let mut buf = vec![0; read_buffer].into_boxed_slice();
        let mut draining = conn.draining();
        let mut is_told_of_drain = false;
        let mut is_eof = false;
        let mut alarm = pin!(sleep_until(Instant::now() + FAR_AHEAD));

        macro_rules! tell {
            ($callback:ident $(, $argument:expr)*) => {
                session
                    .$callback(&mut Context { conn: &mut *conn, state: &mut *state } $(, $argument)*)
                    .await?
            };
        }

        tell!(on_connect);
        loop {
            if state.is_closing {
                // Senders must not wait for a session that takes no more messages.
                drop(messages);
                state.outbox.flush(conn).await?;
                return Ok(is_eof);
            }
            // Most data is accepted at once, without a timer.
            state.outbox.flush_now(conn).await?;
            let is_writing = !state.outbox.is_empty();

            let began = Instant::now();
            let deadline = state.deadline(began, is_eof);
            let event = tokio::select! {
                () = &mut draining, if !is_told_of_drain => Event::Drain,
                Some(message) = messages.recv(), if has_room(&state.outbox) => Event::Message(message),
                event = async {
                    // What has arrived by the deadline counts, however late this is polled.
                    tokio::select! {
                        biased;
                        event = exchange(conn, &mut state.outbox, &mut buf, !is_eof) => event,
                        () = until(alarm.as_mut(), deadline), if deadline.is_some() => Ok(Event::Timeout),
                    }
                } => event?,
            };
            if !is_writing {
                state.silence += began.elapsed();
            }

            match event {
                Event::Written => {}
                Event::Data(0) => {
                    is_eof = true;
                    tell!(on_eof);
                }
                Event::Data(n) => {
                    state.silence = Duration::ZERO;
                    state.next_read_timeout = None;
                    tell!(on_data, &buf[..n]);
                }
                Event::Message(message) => {
                    let mut cx = Context { conn, state };
                    take_messages(session, &mut cx, message, &mut messages).await?;
                }
                Event::Timeout if is_writing => return Err(too_slow()),
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

/// Handles a message, and those that wait behind it, before what they sent is written.
async fn take_messages<S: Session>(
    session: &mut S,
    cx: &mut Context<'_, S::Message>,
    first: S::Message,
    messages: &mut mpsc::Receiver<S::Message>,
) -> Result<(), BoxError> {
    session.on_message(cx, first).await?;
    for _ in 1..MESSAGES_AT_ONCE {
        if cx.state.is_closing || !has_room(&cx.state.outbox) {
            break;
        }
        let Ok(message) = messages.try_recv() else {
            break;
        };
        session.on_message(cx, message).await?;
    }
    Ok(())
}

/// Returns whether messages are taken: their answers must not pile up for a client that does not
/// read.
fn has_room(outbox: &Outbox) -> bool {
    outbox.pending() < WINDOW
}

/// Writes what waits to be written, or else reads. Cancel safe.
async fn exchange<M>(
    conn: &mut Connection,
    outbox: &mut Outbox,
    buf: &mut [u8],
    reads: bool,
) -> Result<Event<M>, BoxError> {
    if !outbox.is_empty() {
        outbox.step(conn).await?;
        Ok(Event::Written)
    } else if reads {
        Ok(Event::Data(conn.read(buf).await?))
    } else {
        pending().await
    }
}

/// Waits until `deadline` with a timer that is moved only when necessary: when it would fire too
/// late, or when it has fired too early.
async fn until(mut alarm: Pin<&mut Sleep>, deadline: Option<Instant>) {
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
