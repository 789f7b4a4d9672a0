//! A server in its own process: this program again, possibly under a tool.

use reagent::BoxError;
use std::{
    env,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{self, Command, Stdio},
};

/// The argument of the program that is the server.
pub const SERVE: &str = "--serve";

pub struct Child {
    pub addr: SocketAddr,
    process: process::Child,
}

impl Child {
    /// Starts a server, with `tool` before its command line. Prints a message and returns `None` if
    /// the tool is missing.
    pub fn start(tool: &[String], server: &str) -> Result<Option<Child>, BoxError> {
        let program = env::current_exe()?;
        let mut command = match tool {
            [] => Command::new(program),
            [tool, args @ ..] => {
                let mut command = Command::new(tool);
                command.args(args).arg(program);
                command
            }
        };
        if server.ends_with("layers") {
            command.env("LAYERS", "4");
        }
        command.args([SERVE, server]);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("{:?} is not installed", command.get_program());
                return Ok(None);
            }
            started => started?,
        };
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().parse()?;
        Ok(Some(Child { addr, process }))
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends the server with its input, and waits for what its tool writes.
    pub fn stop(mut self) -> Result<(), BoxError> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the server failed: {status}").into()),
        }
    }
}
