//! A run of one seed, and the report of one that failed.

use crate::{
    client::Client,
    config::Config,
    dice::Dice,
    ending::{end, nothing_left},
    invariants::check,
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

/// Longer than all back-offs that one operation can bring about, one after the other.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same where time passes.
const SOCKETS_PATIENCE: Duration = Duration::from_secs(6);

/// What no run takes, in real time; a paused clock does not move while something spins.
const WATCHDOG: Duration = Duration::from_secs(30);
const SPINS: &str = "the run does not end: something spins, or blocks its thread";

/// What is done in the run of one seed.
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
            operations: (0..steps)
                .map(|_| Operation::of(&mut dice, &config))
                .collect(),
            ending: Ending::of(&mut dice),
        }
    }

    /// Runs it on a thread and a runtime of its own; a server that spins is left there.
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

    /// The same with fewer operations, as long as it fails in the same manner.
    pub fn shrink(mut self, in_memory: bool, mut failure: Failure) -> (Self, Failure) {
        // A server that spins takes a core for each attempt.
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

    /// What was done and what came of it.
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

/// What does not hold, and after which step.
#[derive(Clone, Debug)]
pub struct Failure {
    pub step: usize,
    pub violation: String,
}

impl Failure {
    /// The violation without its numbers.
    fn manner(&self) -> String {
        let violation = self.violation.chars();
        violation.filter(|char| !char.is_ascii_digit()).collect()
    }
}

/// Waits until everything is as it should be, and for what should be so and is not.
async fn settle(world: &mut World) -> Result<(), String> {
    let started = Instant::now();
    // Each error of a listener may be waited out, for a second at most.
    let errors: usize = world
        .places
        .iter()
        .map(|place| place.script.remaining())
        .sum();
    let patience = Duration::from_secs(errors as u64)
        + match world.in_memory {
            true => PATIENCE,
            false => SOCKETS_PATIENCE,
        };
    // A paused clock moves when nothing more happens, and so one that was moved says that nothing does.
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
    world.gauge.set_ceiling(world.max());
    Ok(())
}
