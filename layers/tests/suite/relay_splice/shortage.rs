//! A process that has no descriptors for pipes uses buffers.

use super::proxy::{Kind, Proxy};
use crate::{descriptors::limited, relay::in_time, relay::pattern};
use std::{fs::File, process::Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

/// Set in the process that has few descriptors.
const CHILD: &str = "REAGENT_RELAY_SHORTAGE_CHILD";

#[tokio::test]
#[ignore = "it runs in its own process"]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    const LEN: usize = 8 << 20;
    let proxy = Proxy::start(Kind::Tcp, Kind::Tcp, true).await;
    let (client, upstream) = proxy.pair().await;
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let sent = pattern(1, 0, LEN);
    let ((mut back, mut out), (mut reader, mut writer)) = (split(client), split(upstream));
    let send = async {
        out.write_all(&sent[..LEN / 2]).await.unwrap();
        // From here on there are descriptors again.
        files.clear();
        out.write_all(&sent[LEN / 2..]).await.unwrap();
        out.shutdown().await.unwrap();
    };
    let echo = async {
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let (_, _, read) =
        in_time(async { tokio::join!(send, echo, back.read_to_end(&mut all)) }).await;
    read.unwrap();
    assert!(all == sent, "every byte in its place");
}

#[tokio::test]
async fn without_descriptors_bytes_go_through_buffers() {
    let status = limited(128, std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("{}::child", module_path!().split_once("::").unwrap().1),
        ])
        .args(["--ignored"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status();
    assert!(in_time(status).await.unwrap().success());
}
