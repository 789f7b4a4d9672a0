//! The `redis` example, with the client libraries ioredis and redis-py.
//!
//! They are installed once, into `target/redis-clients`. If that fails, the tests are skipped.

use crate::{
    port::Port,
    program::{Example, binary},
    support::LONG,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

const INSTALL: Duration = Duration::from_secs(120);

/// Returns the directory into which `command` has installed `what`, now or in an earlier run.
async fn installed(what: &str, command: impl FnOnce(&Path) -> Command) -> Option<PathBuf> {
    // target/PROFILE/examples/NAME
    let target = binary("redis").ancestors().nth(3).unwrap().to_owned();
    let dir = target.join("redis-clients").join(what);
    if dir.exists() {
        return Some(dir);
    }
    // Renamed at the end, so that the directory is complete or absent.
    let part = dir.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&part).unwrap();
    let mut command = command(&part);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let reason = match timeout(INSTALL, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            fs::rename(&part, &dir).unwrap();
            return Some(dir);
        }
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not done in {INSTALL:?}"),
    };
    let _ = fs::remove_dir_all(&part);
    crate::skipped::skipped(format_args!("{what} cannot be installed: {reason}"));
    None
}

async fn start(listen: &str) -> Example {
    Example::start_at("redis", listen).await
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    let line = timeout(2 * LONG, lines.next_line());
    line.await.expect("a line in time").unwrap()
}

/// Runs a program that uses the server, loses it in a drain, and continues with the next one.
async fn run(command: &mut Command) {
    let port = Port::new();
    let first = start(&port.addr().to_string()).await;
    let addr = first.addr.clone();
    let mut child = command
        .arg(addr.rsplit(':').next().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(said(&mut lines).await.as_deref(), Some("DRAIN"));
    first.stop("TERM").await;
    let second = start(&addr).await;
    assert_eq!(said(&mut lines).await.as_deref(), Some("DONE"));
    let status = timeout(LONG, child.wait()).await.expect("an end in time");
    assert!(status.unwrap().success());
    second.stop("TERM").await;
}

fn script(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("redis_clients").join(name)
}

#[tokio::test]
async fn ioredis_is_served_and_reconnects_after_a_drain() {
    let install = |dir: &Path| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
        npm.arg("--prefix").arg(dir).arg("ioredis@5");
        npm
    };
    if let Some(dir) = installed("ioredis", install).await {
        let mut node = Command::new("node");
        node.env("NODE_PATH", dir.join("node_modules"));
        run(node.arg(script("ioredis.js"))).await;
    }
}

#[tokio::test]
async fn redis_py_is_served_with_either_protocol_and_reconnects_after_a_drain() {
    let install = |dir: &Path| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"]);
        pip.arg(dir).arg("redis>=5,<9");
        pip
    };
    if let Some(dir) = installed("redis-py", install).await {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", dir);
        run(python.args(["-W", "ignore"]).arg(script("redis_py.py"))).await;
    }
}
