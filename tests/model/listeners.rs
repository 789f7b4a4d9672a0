//! The operations on the listeners of a running server.

use crate::{
    listening::{Phase, Settings},
    net::Place,
    operation::MOST_LISTENERS,
    world::{World, nth},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::time::timeout;

/// The time limit of requests to a server on which nothing fails.
const LONG: Duration = Duration::from_secs(10);

impl World {
    /// Returns the numbers of the places that are open and of this kind.
    pub fn open_places(&self, is_kind: impl Fn(usize) -> bool) -> Vec<usize> {
        let places = 0..self.places.len();
        places
            .filter(|place| self.places[*place].listening.is_open() && is_kind(*place))
            .collect()
    }

    /// Returns the open places of the server under test.
    pub fn listeners(&self) -> Vec<usize> {
        self.open_places(|place| !self.side(place).1)
    }

    /// Returns an open place of the server under test.
    pub fn listener(&mut self, number: usize) -> Option<&mut Place> {
        let place = nth(self.listeners(), number)?;
        Some(&mut self.places[place])
    }

    pub async fn listen(&mut self, settings: Settings, patience: Option<Duration>) {
        if self.listeners().len() >= MOST_LISTENERS {
            return;
        }
        let opened = Place::open(self.in_memory, self.config.is_like_socket, settings);
        let Ok((bind, place)) = opened else {
            return;
        };
        let is_armed = self.trouble.is_armed();
        let addr = place.listening.addr.clone();
        let ceiling = (addr.to_string(), settings.max);
        self.main.record.events().ceilings.extend([ceiling]);
        self.places.push(place);
        self.allow_more();
        let handle = self.main.handle.clone();
        let listen = handle.listen(bind);
        let listened = match patience {
            None => timeout(2 * LONG, listen).await.ok(),
            Some(Duration::ZERO) => poll_once(listen).await,
            Some(patience) => timeout(patience, listen).await.ok(),
        };
        let is_right = match &listened {
            None => patience.is_some(),
            Some(Ok(addrs)) => *addrs == [addr],
            Some(Err(_)) => is_armed || !self.is_serving(),
        };
        if !is_right {
            self.violation(format!("a listener is added: {listened:?}"));
        }
        if let (false, Some(place)) = (matches!(listened, Some(Ok(_))), self.places.last_mut()) {
            place.listening.phase = Phase::Closed;
            place.release();
        }
    }

    pub async fn close(&mut self, listener: usize, clients: usize, is_awaited: bool) {
        let Some(number) = nth(self.listeners(), listener) else {
            return;
        };
        for _ in 0..clients {
            self.connect(number).await;
        }
        let addr = self.places[number].listening.addr.clone();
        let accepted = self.main.record.events().started_at(&addr);
        let at_least = accepted + self.must_be_swept(number);
        let place = &mut self.places[number];
        place.listening.phase = Phase::Closing { at_least };
        place.release();
        let handle = self.main.handle.clone();
        let close = handle.close_listener(&addr);
        let closed = match is_awaited {
            true => timeout(LONG, close).await.ok(),
            false => poll_once(close).await.or(Some(true)),
        };
        // A server that has stopped, because it has lost all its listeners, lists them still.
        if closed != Some(true) {
            self.violation(format!("closing a listener: {closed:?}"));
        }
    }

    pub fn pause(&mut self, listener: usize, is_paused: bool) {
        let handle = self.main.handle.clone();
        let Some(place) = self.listener(listener) else {
            return;
        };
        place.listening.is_paused = is_paused;
        let addr = &place.listening.addr;
        let is_known = match is_paused {
            true => handle.pause_listener(addr),
            false => handle.resume_listener(addr),
        };
        if !is_known {
            self.violation("an open listener is not known".to_owned());
        }
    }

    pub fn set_listener_max(&mut self, listener: usize, max: usize) {
        let (handle, record) = (self.main.handle.clone(), self.main.record.clone());
        let Some(place) = self.listener(listener) else {
            return;
        };
        place.listening.max = max;
        let addr = &place.listening.addr;
        if let Some(ceiling) = record.events().ceilings.get_mut(&addr.to_string()) {
            *ceiling = max.max(*ceiling);
        }
        let max = (max < usize::MAX).then_some(max);
        handle.set_listener_max_connections(addr, max);
    }

    pub async fn remake_services(&mut self) {
        let must_succeed = self.is_serving() && !self.trouble.is_armed();
        self.main.alive.next_generation();
        self.main.handle.remake_services();
        if must_succeed {
            let handle = self.main.handle.clone();
            match timeout(2 * LONG, handle.settled()).await {
                Ok(()) => self.main.alive.require_generation(),
                Err(_) if !self.is_serving() => {}
                Err(_) => self.violation("a remake is not settled".to_owned()),
            }
        }
    }
}

/// Polls a future once and drops it, as if it was cancelled.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
