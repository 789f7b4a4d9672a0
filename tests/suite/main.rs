//! One module a guarantee; everything through sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod support;
mod listening;
