//! The sizes of the types of a connection, to notice when they grow. An entry stays in memory as
//! long as its connection; the others are moved on the way from the queue to the handler.

use super::{BoxIo, Connection, entry::Entry};

use crate::listener::{Accepted, Transport};

#[test]
fn a_connection_has_not_grown() {
    let sizes = [
        ("Entry", size_of::<Entry>(), 320),
        ("Connection", size_of::<Connection>(), 48),
        ("BoxIo", size_of::<BoxIo>(), 32),
        ("Transport", size_of::<Transport>(), 48),
        ("Accepted", size_of::<Accepted>(), 80),
    ];
    for (name, size, most) in sizes {
        assert!(size <= most, "{name}: {size} bytes instead of {most}");
    }
}
