//! Chromium without a window, driven over its DevTools protocol.

use crate::support::{LONG, soon};
use serde_json::{Value, json};
use std::{io, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::sleep,
};

/// The names of the program in distributions.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Chromium reads commands from descriptor 3 and writes answers to descriptor 4, each ended by a
/// zero byte (`--remote-debugging-pipe`).
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// A browser with one tab.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    next_id: u64,
    /// Its user's files.
    _home: TempDir,
}

impl Browser {
    /// Starts the browser, if it is installed.
    pub async fn start() -> Option<Self> {
        let program = PROGRAMS.into_iter().find(|name| is_installed(name))?;
        let home = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", START, program])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Browser {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            session: None,
            next_id: 0,
            _home: home,
        };
        let target = browser
            .command("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.command("Target.attachToTarget", target).await;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.command("Page.enable", json!({})).await;
        Some(browser)
    }

    /// Sends a command and returns its result.
    pub async fn command(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let mut command = json!({ "id": self.next_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let bytes = format!("{command}\0");
        soon(self.commands.write_all(bytes.as_bytes()))
            .await
            .unwrap();
        loop {
            let mut answer = Vec::new();
            soon(self.answers.read_until(0, &mut answer)).await.unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser ended");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            // Everything else is an event.
            if answer["id"] == self.next_id {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].take();
            }
        }
    }

    pub async fn open(&mut self, url: &str) {
        self.command("Page.navigate", json!({ "url": url })).await;
    }

    /// Evaluates an expression in the page.
    pub async fn eval(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut result = self.command("Runtime.evaluate", params).await;
        assert_eq!(result["exceptionDetails"], Value::Null, "{script}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true in the page, which may still be loading.
    pub async fn until(&mut self, script: &str) {
        let began = std::time::Instant::now();
        let attempt = format!("(() => {{ try {{ return Boolean({script}) }} catch {{}} }})()");
        while self.eval(&attempt).await != true {
            if began.elapsed() > LONG {
                let page = self.eval("document.body.innerText").await;
                panic!(
                    "not so after {LONG:?}: {script}\n{}",
                    page.as_str().unwrap_or_default()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sets the size of the window and whether the user prefers dark colors.
    pub async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.command("Emulation.setScrollbarsHidden", json!({ "hidden": true }))
            .await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// Saves a picture of the whole page as base64.
    pub async fn picture(&mut self, path: &Path) {
        let params = json!({ "captureBeyondViewport": true });
        let picture = self.command("Page.captureScreenshot", params).await;
        tokio::fs::write(path, picture["data"].as_str().unwrap())
            .await
            .unwrap();
    }

    pub async fn stop(mut self) {
        self.session = None;
        self.command("Browser.close", json!({})).await;
        soon(self.process.wait()).await.unwrap();
    }
}

fn is_installed(program: &str) -> bool {
    let asked = std::process::Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !matches!(asked, Err(error) if error.kind() == io::ErrorKind::NotFound)
}
