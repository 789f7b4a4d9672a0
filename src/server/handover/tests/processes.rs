//! Two real processes: this one, and the same program as a child that is killed.

use super::*;
use std::{
    io::Write,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
};

/// What the child does, and where.
const ROLE: &str = "REAGENT_TEST_HANDOVER";

/// The first words of a line of the child.
const REACHED: &str = "the child has reached";

fn say(reached: &str) {
    writeln!(io::stdout(), "{REACHED} {reached}").unwrap();
}

/// Not a test, but the child of the others.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let (role, path) = role.split_once(' ').unwrap();
    let path = PathBuf::from(path);
    match role {
        "predecessor" => {
            let old = Old::on_a_port();
            let door = SocketListener::private(&path).await.unwrap();
            say(&old.addr().to_string());
            serve(door, &*old, &Carrier::default(), &Spare::default()).await;
        }
        "successor" => {
            let mut succession = match connect(&path).await {
                Ok(succession) => succession.unwrap(),
                Err(error) => {
                    say(&error.to_string());
                    return;
                }
            };
            let taken = succession.take_one("127.0.0.1:0");
            say("start");
            if std::fs::exists(path.with_extension("ready")).unwrap() {
                let _prepared = succession.ready(&Carrier::default()).await.unwrap();
                say("ready");
                pending::<()>().await;
            }
            pending::<()>().await;
            drop(taken);
        }
        role => unreachable!("{role}"),
    }
}

struct Process {
    child: Child,
    lines: tokio::io::Lines<BufReader<UnixStream>>,
}

impl Process {
    fn start(role: &str, dir: &mut Dir, uid: u32) -> Self {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "server::handover::tests::processes::child",
                "--nocapture",
            ])
            .env(ROLE, format!("{role} {}", dir.door().display()))
            .stdout(OwnedFd::from(writer))
            .stderr(Stdio::null())
            .uid(uid);
        let child = dir.spawn(&mut command).unwrap();
        drop(command);
        Process {
            child,
            lines: BufReader::new(UnixStream::from_std(reader).unwrap()).lines(),
        }
    }

    /// Waits until the child says what it has reached.
    async fn reached(&mut self) -> String {
        loop {
            let line = self
                .lines
                .next_line()
                .await
                .unwrap()
                .expect("a child that lives");
            if let Some((_, reached)) = line.split_once(REACHED) {
                return reached.trim().to_owned();
            }
        }
    }

    /// Kills the child as `kill -9` does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[tokio::test]
async fn a_predecessor_that_is_killed_is_survived_with_the_clients_in_its_queue() {
    // While its successor starts, once it has paused, and after it was replaced.
    for step in 0..3 {
        let mut dir = Dir::new();
        let mut old = Process::start("predecessor", &mut dir, own_uid());
        let addr: SocketAddr = old.reached().await.parse().unwrap();
        let mut succession = succeed(&dir.door()).await;
        let taken = succession.take_one("127.0.0.1:0").unwrap();
        let mut listeners = taken.open(&Arc::default()).unwrap();
        let _client = TcpStream::connect(addr).await.unwrap();
        if step == 0 {
            old.kill();
        }
        let prepared = succession.ready(&Carrier::default()).await.unwrap();
        if step == 1 {
            old.kill();
        }
        let door = prepared.take_over().await.unwrap();
        if step == 2 {
            old.kill();
        }
        listeners[0].take_over();
        accept(&mut listeners[0]).await;
        assert!(dir.door().exists());
        drop(door);
        assert!(!dir.door().exists());
    }
}

#[tokio::test]
async fn a_successor_that_is_killed_changes_nothing() {
    let mut dir = Dir::new();
    let old = Old::on_a_port();
    let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
    let mut new = Process::start("successor", &mut dir, own_uid());
    assert_eq!(new.reached().await, "start");
    new.kill();
    std::fs::write(dir.door().with_extension("ready"), "").unwrap();
    let mut new = Process::start("successor", &mut dir, own_uid());
    assert_eq!(new.reached().await, "start");
    assert_eq!(new.reached().await, "ready");
    new.kill();
    until(|| old.events.lock().len() == 2).await;
    assert_eq!(old.events(), ["pause [0]", "resume"]);
    take_over(&dir.door(), "127.0.0.1:0").await;
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
}

#[tokio::test]
async fn another_user_is_refused_in_both_directions() {
    if own_uid() != 0 {
        let why = "skipped: only root can start a process of another user";
        return writeln!(io::stderr(), "{why}").unwrap();
    }
    let nobody = 65534;
    let mut dir = Dir::new();
    std::fs::set_permissions(&dir.path, PermissionsExt::from_mode(0o777)).unwrap();
    let old = Old::on_a_port();
    let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
    let mut new = Process::start("successor", &mut dir, nobody);
    let error = new.reached().await;
    assert!(
        error.ends_with("it cannot be reached"),
        "the mode of the path: {error}"
    );
    std::fs::set_permissions(dir.door(), PermissionsExt::from_mode(0o666)).unwrap();
    let mut new = Process::start("successor", &mut dir, nobody);
    let error = new.reached().await;
    let expected = "it refused: its user ID is 65534; start it as the user of this server";
    assert!(error.ends_with(expected), "{error}");
    assert!(tasks.try_join_next().is_none());
    assert_eq!(old.events(), [""; 0]);
    tasks.shutdown().await;

    let mut old = Process::start("predecessor", &mut dir, nobody);
    old.reached().await;
    let error = text(connect(&dir.door()).await);
    let expected = "the server there runs as the user ID 65534, which is not trusted";
    assert!(error.ends_with(expected), "{error}");
}
