//! Descriptors that are kept for a hand-over, for a server that has run out of them.

use crate::{listener::ErrorClass, sync::Mutex};
use std::{
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

/// How many descriptors clients of the hand-over may use of those that are kept.
const FOR_CLIENTS: usize = 8;

/// Descriptors that can become others. A server that has run out of descriptors is the one that
/// has to be replaced, and any that it closes for that purpose would be taken by its acceptors.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<OwnedFd>>);

impl Spare {
    /// Opens descriptors for a hand-over of this many sockets, as far as there are any.
    pub(super) fn fill(&self, sockets: usize) -> io::Result<()> {
        let mut spare = self.0.lock();
        while spare.len() < sockets + FOR_CLIENTS {
            spare.push(File::open("/dev/null")?.into());
        }
        Ok(())
    }

    /// Closes one, so that a client can be accepted. Those that are needed for the sockets remain.
    pub(super) fn make_room(&self, sockets: usize) -> bool {
        let mut spare = self.0.lock();
        let has_more = spare.len() > sockets;
        if has_more {
            spare.pop();
        }
        has_more
    }

    /// Returns another descriptor of the same file.
    pub(crate) fn duplicate(&self, fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let error = match fd.try_clone_to_owned() {
            Err(error) if ErrorClass::lacks_descriptors(&error) => error,
            duplicated => return duplicated,
        };
        let Some(mut spare) = self.0.lock().pop() else {
            return Err(error);
        };
        // Replaces it at once, so that no other thread can take its number.
        rustix::io::dup2(fd, &mut spare)?;
        rustix::io::fcntl_setfd(&spare, rustix::io::FdFlags::CLOEXEC)?;
        Ok(spare)
    }
}
