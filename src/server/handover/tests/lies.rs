//! Manifests that lie. The successor refuses them and keeps nothing.

use super::super::{
    manifest::{Entry, MOST_BYTES, Manifest},
    transfer::send,
};
use super::*;
use crate::listener::SocketFile;
use std::{
    net::{TcpListener, UdpSocket},
    os::fd::OwnedFd,
    os::unix::net::{UnixListener, UnixStream as StdUnixStream},
};

/// The sockets of a server with one listener, and what it says about them.
struct Offered {
    manifest: Manifest,
    sockets: Vec<OwnedFd>,
}

impl Offered {
    async fn new(dir: &Dir) -> Self {
        let (door, listener) = (
            SocketListener::private(&dir.path("door")).await.unwrap(),
            tcp(),
        );
        // So that the file stays, as that of a server that lives.
        door.give_up();
        Offered {
            manifest: Manifest {
                handover: door.facts(),
                listeners: vec![Entry {
                    requested: "port".to_owned(),
                    facts: listener.facts(),
                    sockets: 1,
                }],
            },
            sockets: vec![door.descriptor().unwrap(), listener.descriptor().unwrap()],
        }
    }

    /// Sends this to a successor, and returns what it makes of it. One end of a pair is among
    /// the descriptors, and shows at the other one that they are all closed afterwards.
    async fn judge(mut self, dir: &Dir) -> String {
        let (mut alive, end) = StdUnixStream::pair().unwrap();
        self.sockets.push(end.into());
        let judged = judge(dir, &self.manifest.encode(), self.sockets).await;
        assert_eq!(io::Read::read(&mut alive, &mut [0]).unwrap(), 0);
        judged
    }
}

async fn judge(dir: &Dir, bytes: &[u8], sockets: Vec<OwnedFd>) -> String {
    let listener = tokio::net::UnixListener::bind(dir.door()).unwrap();
    let sending = async {
        let wire = Wire::new(listener.accept().await.unwrap().0);
        next(&wire).await.unwrap();
        let _ = send(&wire, bytes, &sockets, Duration::from_secs(10)).await;
    };
    let path = dir.door();
    let (connected, ()) = tokio::join!(connect(&path), sending);
    drop(listener);
    std::fs::remove_file(dir.door()).unwrap();
    text(connected)
}

#[tokio::test]
async fn a_true_manifest_is_accepted() {
    let dir = Dir::new();
    let Offered { manifest, sockets } = Offered::new(&dir).await;
    let (door, listeners) = super::super::successor::sort(&manifest.encode(), sockets).unwrap();
    assert_eq!(listeners.len(), 1);
    assert_eq!(door.local_addr().path(), Some(&*dir.path("door")));
}

#[tokio::test]
async fn a_wrong_number_of_descriptors_is_refused() {
    let dir = Dir::new();
    let error = Offered::new(&dir).await.judge(&dir).await;
    assert!(
        error.ends_with("the exchange failed: 3 sockets arrived; expected 2"),
        "{error}"
    );
    std::fs::remove_file(dir.path("door")).unwrap();
    let mut offered = Offered::new(&dir).await;
    offered.manifest.listeners[0].sockets = 10;
    let error = offered.judge(&dir).await;
    assert!(error.ends_with("3 sockets arrived; expected 11"), "{error}");
}

/// Replaces the socket of the listener, and counts the end of the pair as one of its sockets.
async fn with(dir: &Dir, socket: impl Into<OwnedFd>) -> Offered {
    let _ = std::fs::remove_file(dir.path("door"));
    let mut offered = Offered::new(dir).await;
    offered.sockets[1] = socket.into();
    offered.manifest.listeners[0].sockets = 2;
    offered
}

#[tokio::test]
async fn descriptors_that_are_not_the_sockets_of_the_manifest_are_refused() {
    let dir = Dir::new();
    let file = std::fs::File::open("/dev/null").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("it is bound to {}", other.local_addr().unwrap());
    let client = std::net::TcpStream::connect(other.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(dir.path("unix")).unwrap();
    let wrong: [(OwnedFd, &str); 5] = [
        (file.into(), "it is not a socket"),
        (
            datagrams.into(),
            "it is a datagram socket; expected a listening stream socket",
        ),
        (
            client.into(),
            "the socket does not listen; expected a listening stream socket",
        ),
        (other.into(), &elsewhere),
        (unix.into(), "it is bound to unix:"),
    ];
    for (socket, expected) in wrong {
        let error = with(&dir, socket).await.judge(&dir).await;
        assert!(error.contains(expected), "{error}, not {expected}");
        assert!(
            error.contains("the socket of \"port\" is wrong: "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_socket_that_is_sent_twice_is_refused() {
    let dir = Dir::new();
    let mut offered = Offered::new(&dir).await;
    let twice = offered.sockets[1].try_clone().unwrap();
    offered.sockets.push(twice);
    offered.manifest.listeners[0].sockets = 3;
    let error = offered.judge(&dir).await;
    assert!(error.ends_with("a socket was sent twice"), "{error}");
}

#[tokio::test]
async fn another_file_than_that_of_the_socket_is_refused() {
    use std::os::unix::fs::MetadataExt;
    let dir = Dir::new();
    let inode = |path: &Path| {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        (metadata.dev(), metadata.ino())
    };
    // A file with the name of the socket; a socket with another name.
    let (file, socket) = (dir.path("other").join("door"), dir.path("socket"));
    std::fs::create_dir(dir.path("other")).unwrap();
    std::fs::write(&file, "").unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    for path in [&file, &socket] {
        let Offered {
            mut manifest,
            sockets,
        } = Offered::new(&dir).await;
        manifest.handover.file = Some(SocketFile {
            path: path.clone(),
            inode: inode(path),
        });
        is_refused(&manifest, sockets);
        std::fs::remove_file(dir.path("door")).unwrap();
        assert!(path.exists());
    }
    // A path that depends on the working directory.
    let Offered {
        mut manifest,
        sockets,
    } = Offered::new(&dir).await;
    manifest.handover.file = Some(SocketFile {
        path: "door".into(),
        inode: inode(&dir.path("door")),
    });
    is_refused(&manifest, sockets);
}

fn is_refused(manifest: &Manifest, sockets: Vec<OwnedFd>) {
    let error = super::super::successor::sort(&manifest.encode(), sockets).unwrap_err();
    assert!(
        error.to_string().contains("is not the file of the socket"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let dir = Dir::new();
    let error = judge(&dir, &vec![0; MOST_BYTES + 1], Vec::new()).await;
    assert!(
        error.ends_with("more than 1048576 bytes were sent"),
        "{error}"
    );

    let (mut alive, end) = StdUnixStream::pair().unwrap();
    let sockets = (0..5_000)
        .map(|_| OwnedFd::from(end.try_clone().unwrap()))
        .collect();
    drop(end);
    let error = judge(&dir, &[], sockets).await;
    assert!(
        error.ends_with("more than 4096 descriptors were sent"),
        "{error}"
    );
    assert_eq!(io::Read::read(&mut alive, &mut [0]).unwrap(), 0);
}
