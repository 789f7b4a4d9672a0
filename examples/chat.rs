//! A chat room built from sessions: every client reads what the others type.
//!
//! Run it with `cargo run --example chat`, and join it from two terminals with `nc 127.0.0.1 7000`.
//! `--listen ADDR` sets the address; Ctrl-C stops the server.
//!
//! A client that does not read fills its own mailbox and then misses messages. It delays nobody
//! else.

#[path = "common/mod.rs"]
mod common;

use reagent::{
    BoxError, Outcome, Server,
    session::{Context, Mailbox, Session},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The maximum length of a line, in bytes. Nobody types longer ones.
const LONGEST: usize = 1024;

#[derive(Clone, Default)]
struct Room(Arc<Mutex<HashMap<u64, Mailbox<Line>>>>);

/// A line shared by all mailboxes.
type Line = Arc<str>;

impl Room {
    fn members(&self) -> MutexGuard<'_, HashMap<u64, Mailbox<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_others(&self, from: u64, text: String) {
        let line = Line::from(text);
        for (_, mailbox) in self.members().iter().filter(|(id, _)| **id != from) {
            // Waiting here would make the sender wait for the slowest reader.
            let _ = mailbox.try_send(line.clone());
        }
    }
}

struct Member {
    room: Room,
    id: u64,
    /// The incomplete line typed so far.
    typed: Vec<u8>,
}

impl Session for Member {
    type Message = Line;

    async fn on_connect(&mut self, cx: &mut Context<'_, Line>) -> Result<(), BoxError> {
        self.id = cx.connection().id();
        self.room.members().insert(self.id, cx.mailbox());
        let present = self.room.members().len();
        cx.send(format!("welcome, you are guest {} of {present}\n", self.id));
        self.room
            .tell_others(self.id, format!("guest {} joined\n", self.id));
        Ok(())
    }

    async fn on_data(&mut self, cx: &mut Context<'_, Line>, data: &[u8]) -> Result<(), BoxError> {
        self.typed.extend_from_slice(data);
        while let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.typed.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.room
                .tell_others(self.id, format!("guest {}: {}\n", self.id, line.trim_end()));
        }
        if self.typed.len() > LONGEST {
            cx.send("that line is too long\n");
            cx.close();
        }
        Ok(())
    }

    async fn on_message(&mut self, cx: &mut Context<'_, Line>, line: Line) -> Result<(), BoxError> {
        cx.send(line.as_bytes());
        Ok(())
    }

    async fn on_drain(&mut self, cx: &mut Context<'_, Line>) -> Result<(), BoxError> {
        cx.send("the room is closing, good night\n");
        cx.close();
        Ok(())
    }

    fn on_close(&mut self, _: &Outcome) {
        self.room.members().remove(&self.id);
        self.room
            .tell_others(self.id, format!("guest {} left\n", self.id));
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen(
        "A chat room: every client reads what the others type",
        "127.0.0.1:7000",
    );
    let room = Room::default();
    let chat = reagent::session(move || Member {
        room: room.clone(),
        id: 0,
        typed: Vec::new(),
    })
    .read_timeout(Duration::from_secs(600));
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(common::keepalive)
        .start(chat)
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(5)).await?;
    Ok(())
}
