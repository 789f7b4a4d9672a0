//! The run of a seed, and the report of a failure.

use crate::{
    client::Client,
    config::Config,
    dice::Dice,
    ending::{end, nothing_left},
    invariants::check,
    net::Place,
    operation::{Ending, Operation},
    world::World,
};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

/// Longer than all backoffs that one operation can cause in a row.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same in real time.
const SOCKETS_PATIENCE: Duration = Duration::from_secs(6);

/// The real-time limit of a run, because a paused clock does not advance while a task spins.
const WATCHDOG: Duration = Duration::from_secs(30);
const SPINS: &str = "the run does not end: something spins, or blocks its thread";

/// The operations of a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub config: Config,
    pub operations: Vec<Operation>,
    pub ending: Ending,
}

impl Plan {
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut dice = Dice::new(seed);
        let config = Config::of(&mut dice);
        Plan {
            seed,
            config,
            operations: (0..steps).map(|_| Operation::of(&mut dice)).collect(),
            ending: Ending::of(&mut dice),
        }
    }

    /// Runs the plan on its own thread and runtime. A server that spins is left running.
    pub fn run(&self, in_memory: bool) -> Result<(), Failure> {
        let (tell, told) = mpsc::channel();
        let (plan, step) = (self.clone(), Arc::new(AtomicUsize::new(0)));
        let reached = step.clone();
        thread::spawn(move || {
            let mut builder = match in_memory {
                true => Builder::new_current_thread(),
                false => Builder::new_multi_thread(),
            };
            builder
                .worker_threads(2)
                .enable_all()
                .start_paused(in_memory);
            let runtime = builder.build().expect("a runtime");
            let _ = tell.send(runtime.block_on(plan.steps(in_memory, &reached)));
        });
        told.recv_timeout(WATCHDOG).unwrap_or_else(|error| {
            let violation = match error {
                RecvTimeoutError::Timeout => SPINS.to_owned(),
                RecvTimeoutError::Disconnected => "the run itself panicked".to_owned(),
            };
            Err(Failure {
                step: step.load(SeqCst),
                violation,
            })
        })
    }

    async fn steps(&self, in_memory: bool, reached: &AtomicUsize) -> Result<(), Failure> {
        let at = |step| move |violation| Failure { step, violation };
        let mut world = World::start(self.config, in_memory).await.map_err(at(0))?;
        let result = async {
            for (number, operation) in self.operations.iter().enumerate() {
                reached.store(number, SeqCst);
                world.perform(*operation).await;
                settle(&mut world).await.map_err(at(number))?;
            }
            let last = self.operations.len();
            reached.store(last, SeqCst);
            if self.ending == Ending::DrainIdle {
                world.perform(Operation::AllLeave).await;
                settle(&mut world).await.map_err(at(last))?;
            }
            end(&mut world, self.ending).await.map_err(at(last))?;
            nothing_left(&mut world).await.map_err(at(last))
        }
        .await;
        world.trouble.disarm();
        world.sides().for_each(|side| side.record.clear());
        result
    }

    /// Removes operations as long as the run fails in the same way.
    pub fn shrink(mut self, in_memory: bool, mut failure: Failure) -> (Self, Failure) {
        // A server that spins occupies a core for each attempt.
        let mut index = match failure.violation == SPINS {
            true => 0,
            false => self.operations.len(),
        };
        while index > 0 {
            index -= 1;
            let mut shorter = self.clone();
            shorter.operations.remove(index);
            if let Err(same) = shorter.run(in_memory) {
                if same.manner() == failure.manner() {
                    (self, failure) = (shorter, same);
                }
            }
        }
        (self, failure)
    }

    /// Formats the operations and the failure.
    pub fn report(&self, failure: &Failure) -> String {
        let mut text = format!("seed {}: {:?}\n", self.seed, self.config);
        for (number, operation) in self.operations.iter().enumerate() {
            let mark = if number == failure.step { ">>" } else { "  " };
            let _ = writeln!(text, "{mark} {operation:?}");
        }
        let _ = write!(text, "   {:?}\n=> {}", self.ending, failure.violation);
        text
    }
}

/// A violation, and the step after which it was found.
#[derive(Clone, Debug)]
pub struct Failure {
    pub step: usize,
    pub violation: String,
}

impl Failure {
    /// Returns the violation without its numbers.
    fn manner(&self) -> String {
        let violation = self.violation.chars();
        violation.filter(|char| !char.is_ascii_digit()).collect()
    }
}

/// Waits until all invariants hold. Returns the violation if one persists.
async fn settle(world: &mut World) -> Result<(), String> {
    let started = Instant::now();
    // Each accept error may cause a delay of up to one second.
    let errors: usize = world.places.iter().map(Place::errors).sum();
    let patience = Duration::from_secs(errors as u64)
        + match world.in_memory {
            true => PATIENCE,
            false => SOCKETS_PATIENCE,
        };
    // A paused clock advances only when all tasks are idle, so the end of this sleep means that
    // nothing more is going to happen.
    let mut pause = Duration::from_millis(1);
    loop {
        sleep(pause).await;
        world.clients.iter_mut().for_each(Client::pump);
        let Err(violation) = check(world) else { break };
        if started.elapsed() > patience {
            return Err(violation);
        }
        if world.in_memory {
            pause = Duration::from_millis(50);
        }
    }
    world.settled();
    Ok(())
}
