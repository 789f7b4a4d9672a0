//! What each layer costs: a connection, a round trip and a byte, against the same server without it, in one run.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod count;
mod kit;
mod load;
mod pool;
mod servers;
mod table;
mod time;
mod tls;

use kit::Kit;
use reagent::BoxError;
use std::env;

fn main() -> Result<(), BoxError> {
    let kit = Kit::new()?;
    if env::args().any(|arg| arg == count::CHILD) {
        return count::in_child(&kit);
    }
    let counts = count::by_callgrind()?;
    let times = time::of_all(&kit)?;
    table::print(&counts, &times);
    tls::compare(&kit)
}
