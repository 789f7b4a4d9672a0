//! Who listens to which channel.

use super::resp::Reply;
use reagent::ConnectionHandle;
use reagent_layers::framed::{PushError, Pusher};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A client that can be sent messages.
#[derive(Clone, Debug)]
pub struct Listener {
    pub handle: ConnectionHandle,
    pub pusher: Pusher<Reply>,
}

#[derive(Debug, Default)]
pub struct Topics(Mutex<HashMap<Box<[u8]>, Vec<Listener>>>);

impl Topics {
    fn channels(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Vec<Listener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn join(&self, channel: &[u8], listener: &Listener) {
        let mut channels = self.channels();
        channels
            .entry(channel.into())
            .or_default()
            .push(listener.clone());
    }

    pub fn leave(&self, channel: &[u8], id: u64) {
        let mut channels = self.channels();
        if let Some(listeners) = channels.get_mut(channel) {
            listeners.retain(|listener| listener.handle.id() != id);
            if listeners.is_empty() {
                channels.remove(channel);
            }
        }
    }

    /// Sends a message to all who listen, and says to how many. Who reads so slowly that there is no room for it is
    /// closed, as by redis at its `client-output-buffer-limit`.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let channels = self.channels();
        let Some(listeners) = channels.get(channel) else {
            return 0;
        };
        let (kind, channel) = (Arc::from(*b"message"), Arc::from(channel));
        let message: Arc<[u8]> = message.into();
        let frame = Reply::Push(vec![
            Reply::Bulk(kind),
            Reply::Bulk(channel),
            Reply::Bulk(message),
        ]);
        for listener in listeners {
            if let Err(PushError::Full(_)) = listener.pusher.try_push(frame.clone()) {
                listener.handle.abort();
            }
        }
        listeners.len()
    }
}
