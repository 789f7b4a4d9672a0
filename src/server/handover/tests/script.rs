//! A predecessor that is played by hand.

use super::super::manifest::{Entry, Manifest};
use super::*;
use crate::listener::PlainStream;
use std::os::fd::AsFd;

/// Answers a successor by hand: a greeting with the sockets of a server with one listener.
pub(super) struct Script {
    pub(super) door: SocketListener,
    pub(super) listener: SocketListener,
}

impl Script {
    pub(super) async fn new(dir: &Dir) -> Self {
        let mut door = SocketListener::private(&dir.door()).await.unwrap();
        // Registers with the runtime.
        assert!(door.try_accept().is_err());
        Script {
            door,
            listener: tcp(),
        }
    }

    pub(super) async fn accept(&mut self) -> Wire {
        match accept(&mut self.door).await.split() {
            (Some(PlainStream::Unix(stream)), _) => Wire::new(stream),
            _ => unreachable!(),
        }
    }

    /// Greets a successor and sends it the sockets.
    pub(super) async fn offer(&mut self) -> Wire {
        let wire = self.accept().await;
        assert_eq!(next(&wire).await.unwrap().0, Kind::Hello);
        let manifest = Manifest {
            handover: self.door.facts(),
            listeners: vec![Entry {
                requested: "port".to_owned(),
                facts: self.listener.facts(),
                sockets: 1,
            }],
        };
        let fds = [
            self.door.descriptor().unwrap(),
            self.listener.descriptor().unwrap(),
        ];
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        wire.send(Kind::Last, &manifest.encode(), &fds)
            .await
            .unwrap();
        wire
    }

    /// Dies: the kernel closes everything, and the file remains.
    pub(super) fn die(self, wire: Wire) {
        self.door.give_up();
        drop((self, wire));
    }
}
