//! Where the kernel does not move bytes from one socket to another, there are no pipes.

use crate::io::PlainSocket;
use reagent::{Connection, IoStream};
use std::{
    io,
    task::{Context, Poll},
};

/// A pipe that never exists.
#[derive(Debug)]
pub(super) enum Pipe {}

impl Pipe {
    pub(super) fn borrow() -> Option<Box<Pipe>> {
        None
    }

    #[expect(clippy::boxed_local, reason = "the pipes of Linux are boxed")]
    pub(super) fn give_back(self: Box<Self>) {
        match *self {}
    }

    pub(super) fn len(&self) -> usize {
        match *self {}
    }

    pub(super) fn poll_fill_from_client(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Connection<impl IoStream>,
        _: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_empty_to_client(
        &mut self,
        _: &mut Context<'_>,
        _: &mut Connection<impl IoStream>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        _: PlainSocket<'_>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_empty(
        &mut self,
        _: &mut Context<'_>,
        _: PlainSocket<'_>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }
}
