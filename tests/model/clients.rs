//! The operations on the clients of a server.

use crate::{
    client::Client,
    operation::MOST_CLIENTS,
    world::{World, nth},
};
use reagent::ConnectionHandle;

impl World {
    pub async fn connect(&mut self, place: usize) {
        if self.clients.len() < MOST_CLIENTS {
            // Connecting fails if no server listens there any more.
            if let Ok(stream) = self.places[place].connect().await {
                self.clients.push(Client::new(place, stream));
            }
        }
    }

    pub fn tell(&mut self, client: usize, bytes: &[u8]) {
        if let Some(client) = nth(&mut self.clients, client) {
            client.send(bytes);
        }
    }

    pub fn leave(&mut self, client: usize, reset: bool) {
        if self.clients.is_empty() {
            return;
        }
        let client = self.clients.remove(client % self.clients.len());
        self.left_ungreeted += usize::from(self.is_closed_ungreeted(&client));
        if reset {
            client.reset();
        }
    }

    /// Returns the open connection of a client of the main server.
    pub fn connection(&mut self, client: usize) -> Option<ConnectionHandle> {
        let client = nth(&self.clients, client)?;
        let id = client.id().filter(|_| !self.side(client.place).1)?;
        self.main.handle.connection(id)
    }

    /// With a paused clock nothing can interfere, so the connection must end with this outcome.
    pub fn expect(&mut self, client: usize, outcome: &'static str) {
        let is_fresh = nth(&mut self.clients, client).is_some_and(|client| client.takes_commands());
        if let Some(connection) = self.connection(client) {
            if self.in_memory && is_fresh && !self.main.alive.is_grudging(connection.id()) {
                self.expected.entry(connection.id()).or_insert(outcome);
            }
        }
    }

    /// Returns whether a server has closed this client without data.
    pub fn is_closed_ungreeted(&self, client: &Client) -> bool {
        let is_open = self.places[client.place].listening.is_open();
        is_open && client.ended && client.id().is_none()
    }
}
