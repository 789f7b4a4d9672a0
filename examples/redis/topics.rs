//! Subscriptions to channels and to patterns of channels.

use super::{glob::matches, resp::Reply};
use reagent::ConnectionHandle;
use reagent_layers::framed::{PushError, Pusher};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A client that receives messages.
#[derive(Clone, Debug)]
pub struct Listener {
    pub handle: ConnectionHandle,
    pub pusher: Pusher<Reply>,
}

/// The kind of a subscription.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Channel,
    Pattern,
}

impl Kind {
    /// Returns the verb of a confirmation (`subscribe` or `unsubscribe`) for this kind.
    pub fn verb(self, verb: &str) -> String {
        match self {
            Kind::Channel => verb.to_owned(),
            Kind::Pattern => format!("p{verb}"),
        }
    }
}

type Listeners = HashMap<Box<[u8]>, Vec<Listener>>;

#[derive(Debug, Default)]
struct All {
    channels: Listeners,
    patterns: Listeners,
}

impl All {
    fn of(&mut self, kind: Kind) -> &mut Listeners {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

#[derive(Debug, Default)]
pub struct Topics(Mutex<All>);

impl Topics {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn join(&self, kind: Kind, topic: &[u8], listener: &Listener) {
        let mut all = self.all();
        let listeners = all.of(kind).entry(topic.into()).or_default();
        listeners.push(listener.clone());
    }

    pub fn leave(&self, kind: Kind, topic: &[u8], id: u64) {
        let mut all = self.all();
        let topics = all.of(kind);
        if let Some(listeners) = topics.get_mut(topic) {
            listeners.retain(|listener| listener.handle.id() != id);
            if listeners.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// Sends a message to all subscribers, and returns their number. A subscriber that reads too
    /// slowly is disconnected, as Redis does at its `client-output-buffer-limit`.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let all = self.all();
        let bulk = |bytes: &[u8]| Reply::Bulk(Arc::from(bytes));
        let mut count = 0;
        if let Some(listeners) = all.channels.get(channel) {
            let frame = vec![bulk(b"message"), bulk(channel), bulk(message)];
            count += send(listeners, &Reply::Push(frame));
        }
        for (pattern, listeners) in &all.patterns {
            if matches(pattern, channel) {
                let frame = vec![
                    bulk(b"pmessage"),
                    bulk(pattern),
                    bulk(channel),
                    bulk(message),
                ];
                count += send(listeners, &Reply::Push(frame));
            }
        }
        count
    }
}

fn send(listeners: &[Listener], frame: &Reply) -> usize {
    for listener in listeners {
        if let Err(PushError::Full(_)) = listener.pusher.try_push(frame.clone()) {
            listener.handle.abort();
        }
    }
    listeners.len()
}
