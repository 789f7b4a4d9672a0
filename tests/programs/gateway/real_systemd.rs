//! The gateway as a service of systemd itself, in namespaces of its own.

use super::{config::Files, in_time, named_upstream, say};
use crate::{port::Port, program::binary};
use reagent::BoxError;
use std::{
    env, fs,
    path::Path,
    process::{Output, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

/// The second unit of the gateway's README.
const UNIT: &str = "\
[Service]
Type=notify
NotifyAccess=all
ExecStart=/run/shared/gateway --config /run/shared/gateway.toml --handover /run/gateway/handover.sock
ExecReload=/bin/sh -c '/run/shared/gateway --config /run/shared/gateway.toml --handover /run/gateway/handover.sock &'
RuntimeDirectory=gateway
";

/// A systemd that manages the gateway.
struct Systemd {
    _unshare: Child,
    process: String,
}

impl Systemd {
    /// Starts it, or says why it cannot run here.
    async fn start(files: &Files) -> Result<Self, String> {
        if env::var_os("REAGENT_SYSTEMD").is_none() {
            return Err("REAGENT_SYSTEMD is not set".to_owned());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/real_systemd.sh");
        let mut command = Command::new("unshare");
        command.args("--fork --pid --mount --cgroup --mount-proc --kill-child sh".split(' '));
        command.arg(script).arg(files.path(""));
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let unshare = command.stdout(Stdio::null()).kill_on_drop(true).spawn();
        let unshare = unshare.map_err(|error| error.to_string())?;
        let parent = unshare.id().unwrap();
        let mut systemd = Systemd {
            _unshare: unshare,
            process: String::new(),
        };
        for _ in 0..200 {
            let children = format!("/proc/{parent}/task/{parent}/children");
            let children = fs::read_to_string(children).map_err(|error| error.to_string())?;
            systemd.process = children.trim().to_owned();
            if systemd.is_up().await {
                return Ok(systemd);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err("systemd does not start in a namespace".to_owned())
    }

    async fn is_up(&self) -> bool {
        let listed = self.run(&["list-units"]).await;
        !self.process.is_empty() && listed.is_ok_and(|listed| listed.contains("basic.target"))
    }

    async fn run(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.process, "-m", "-p", "systemctl"]);
        let output = command.args(args).kill_on_drop(true).output();
        let Output {
            status,
            stdout,
            stderr,
        } = in_time(output).await.unwrap();
        match status.success() {
            true => Ok(String::from_utf8(stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&stderr).into_owned()),
        }
    }

    /// Returns a property of the service.
    async fn shows(&self, property: &str) -> String {
        let args = ["show", "gateway", "--value", "--property", property];
        self.run(&args).await.unwrap().trim().to_owned()
    }
}

#[tokio::test]
async fn reloads_of_a_service_hand_over_without_losing_a_client() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let port = Port::new();
    let addr = port.addr();
    let config = format!(
        "listen = \"{addr}\"\nto = \"{}\"\ndrain = 2\n",
        upstream.local_addr()
    );
    let files = Files::new(&config);
    files.write("gateway.service", UNIT);
    fs::copy(binary("gateway"), files.path("gateway"))?;
    let systemd = match Systemd::start(&files).await {
        Ok(systemd) => systemd,
        Err(reason) => {
            crate::skipped::skipped(format_args!("systemd cannot be run: {reason}"));
            return Ok(());
        }
    };
    systemd.run(&["start", "gateway"]).await?;

    let (served, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let clients = async {
        while !is_over.load(Ordering::Relaxed) {
            let mut client = TcpStream::connect(addr).await?;
            assert_eq!(say(&mut client, "hello").await?, "a hello");
            served.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, BoxError>(())
    };
    let reloads = async {
        for _ in 0..5 {
            let before = systemd.shows("MainPID").await;
            systemd.run(&["reload", "gateway"]).await?;
            let has_new_process = async {
                while systemd.shows("MainPID").await == before {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            in_time(has_new_process).await;
            assert_eq!(systemd.shows("ActiveState").await, "active");
        }
        is_over.store(true, Ordering::Relaxed);
        Ok::<_, BoxError>(())
    };
    tokio::try_join!(clients, reloads)?;
    assert!(served.load(Ordering::Relaxed) > 5);
    assert_eq!(systemd.shows("NRestarts").await, "0");
    systemd.run(&["stop", "gateway"]).await?;
    assert_eq!(systemd.shows("Result").await, "success");
    assert!(TcpStream::connect(addr).await.is_err());
    Ok(())
}
