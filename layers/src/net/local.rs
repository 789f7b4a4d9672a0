//! Errors that are not the fault of a peer.

use std::io;

/// Returns whether this machine has run out of something, so that it could not have connected to
/// any peer: descriptors, memory, buffers or ports.
pub(crate) fn is_local(error: &io::Error) -> bool {
    // ENFILE and EMFILE have these numbers on all systems like Unix.
    let is_out_of_descriptors = cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24));
    let is_out_of_buffers = cfg!(target_os = "linux") && error.raw_os_error() == Some(105);
    let kinds = [io::ErrorKind::OutOfMemory, io::ErrorKind::AddrNotAvailable];
    is_out_of_descriptors || is_out_of_buffers || kinds.contains(&error.kind())
}
