//! Measures the cost of each layer per connection, round trip and byte, compared with the same
//! server without the layer, in one run.
//!
//! `benches/README.md` explains the results, and why they are best taken on one core.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod count;
mod kit;
mod load;
#[path = "../machine.rs"]
mod machine;
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
    let mut args = env::args().skip_while(|arg| arg != count::CHILD);
    if let (Some(_), Some(name)) = (args.next(), args.next()) {
        return count::in_child(&kit, &name);
    }
    machine::print();
    let counts = count::by_callgrind()?;
    let times = time::of_all(&kit)?;
    table::print(&counts, &times);
    tls::compare(&kit)
}
