//! A relay whose bytes pass through pipes in the kernel behaves as one whose bytes pass through
//! buffers.

mod dice;
mod direct;
mod proxy;
mod random;
mod shortage;
