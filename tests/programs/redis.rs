//! The `redis` example, with Redis's own clients and with raw bytes.

use crate::{
    port::Port,
    program::{Example, binary},
    support::{LONG, rest, soon},
};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

async fn start(args: &[&str]) -> Example {
    let mut command = Command::new(binary("redis"));
    Example::start_with(
        "redis",
        command.args(["--listen", "127.0.0.1:0"]).args(args),
    )
    .await
}

fn port(example: &Example) -> &str {
    example.addr.rsplit(':').next().unwrap()
}

/// Runs one of Redis's programs. Returns `None` if it is not installed.
async fn run(program: &str, example: &Example, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(["-h", "127.0.0.1", "-p", port(example)])
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match timeout(3 * LONG, command.output())
        .await
        .expect("an end in time")
    {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Some(text.trim_end().to_owned())
        }
        Err(_) => {
            crate::skipped::skipped(format_args!(
                "{program} is not installed (Debian: redis-tools)"
            ));
            None
        }
    }
}

/// Sends these bytes, and asserts that the server replies with `answer`.
async fn says(client: &mut TcpStream, bytes: impl AsRef<[u8]>, answer: &str) {
    client.write_all(bytes.as_ref()).await.unwrap();
    let mut got = vec![0; answer.len()];
    soon(client.read_exact(&mut got)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), answer);
}

#[tokio::test]
async fn redis_cli_is_answered_as_by_redis() {
    let example = start(&[]).await;
    for (command, answer) in [
        ("ping", "PONG"),
        ("echo hi", "hi"),
        ("set a 1", "OK"),
        ("set a 2 nx", ""),
        ("set a 2 xx get", "1"),
        ("set b 1 ex 0", "ERR invalid expire time in 'set' command"),
        ("set b 1 nx xx", "ERR syntax error"),
        ("incr a", "3"),
        ("decrby a 5", "-2"),
        ("incrby a 9223372036854775807", "9223372036854775805"),
        ("incrby a 3", "ERR increment or decrement would overflow"),
        ("append a x", "20"),
        ("incr a", "ERR value is not an integer or out of range"),
        ("mset k1 one k2 two k10 ten", "OK"),
        ("mget k1 none k2", "one\n\ntwo"),
        ("exists k1 k1 none", "2"),
        ("keys k[1-2]", "k1\nk2"),
        ("keys *0", "k10"),
        ("expire k1 100", "1"),
        ("ttl k1", "100"),
        ("ttl k2", "-1"),
        ("ttl none", "-2"),
        ("set k1 again keepttl", "OK"),
        ("ttl k1", "100"),
        ("set k1 again", "OK"),
        ("ttl k1", "-1"),
        ("expire k2 -1", "1"),
        ("dbsize", "3"),
        ("del k1 k2 a", "2"),
        ("flushall", "OK"),
        ("dbsize", "0"),
        ("get a b", "ERR wrong number of arguments for 'get' command"),
        (
            "nonsense x",
            "ERR unknown command 'nonsense', with args beginning with: 'x'",
        ),
        ("config get append*", "appendonly\nno"),
        ("client setname me", "OK"),
        ("publish nobody hears", "0"),
        (
            "auth pw",
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ),
    ] {
        let words: Vec<_> = command.split(' ').collect();
        let Some(answered) = run("redis-cli", &example, &words).await else {
            return;
        };
        let mut lines: Vec<_> = answered.lines().map(str::trim_end).collect();
        if command.starts_with("keys") {
            lines.sort_unstable();
        }
        assert_eq!(lines.join("\n"), answer, "{command}");
    }
    let info = run("redis-cli", &example, &["-3", "hello", "3"])
        .await
        .unwrap();
    assert!(
        info.contains("proto 3") || info.contains("proto\n3"),
        "{info}"
    );
    example.stop("TERM").await;
}

#[tokio::test]
async fn redis_cli_comes_by_tls_and_by_password() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (cert, key) = (text(&cert), text(&key));
    let tls = [
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--requirepass",
        "secret",
    ];
    let example = start(&tls).await;
    let by_tls = ["--tls", "--cacert", &cert, "--sni", "localhost"];
    for (args, answer) in [
        (&["ping"][..], "NOAUTH Authentication required."),
        (&["--pass", "secret", "--no-auth-warning", "ping"], "PONG"),
        (
            &[
                "--pass",
                "secret",
                "--no-auth-warning",
                "-3",
                "set",
                "a",
                "b",
            ],
            "OK",
        ),
    ] {
        let args = [&by_tls[..], args].concat();
        let Some(answered) = run("redis-cli", &example, &args).await else {
            return;
        };
        assert_eq!(answered, answer);
    }
    let wrong = [
        &by_tls[..],
        &["--pass", "wrong", "--no-auth-warning", "ping"],
    ]
    .concat();
    let answered = run("redis-cli", &example, &wrong).await.unwrap();
    assert!(answered.contains("WRONGPASS"), "{answered}");
    let bench = [
        "--tls", "--cacert", &cert, "-a", "secret", "-t", "set", "-n", "2000", "-P", "16", "-q",
    ];
    let answered = run("redis-benchmark", &example, &bench).await.unwrap();
    assert!(answered.contains("requests per second"), "{answered}");
    example.stop("TERM").await;
}

#[tokio::test]
async fn redis_benchmark_runs_plain_and_pipelined_on_one_thread_and_two() {
    for threads in ["1", "2"] {
        let example = start(&["--threads", threads]).await;
        for pipeline in ["1", "16"] {
            let args = [
                "-t",
                "ping,set,get,incr",
                "-n",
                "20000",
                "-P",
                pipeline,
                "-q",
            ];
            let Some(text) = run("redis-benchmark", &example, &args).await else {
                return;
            };
            assert_eq!(text.matches("requests per second").count(), 5, "{text}");
            assert!(!text.contains("Error"), "{text}");
        }
        example.stop("TERM").await;
    }
}

#[tokio::test]
async fn a_drain_under_load_is_a_clean_close() {
    let example = start(&[]).await;
    let args = ["-t", "set", "-n", "100000000", "-P", "16", "-q"];
    let load = run("redis-benchmark", &example, &args);
    let drain = async {
        let mut client = example.connect().await;
        let mut before = String::new();
        loop {
            // The load has started once its key exists.
            client
                .write_all(b"EXISTS key:__rand_int__\r\n")
                .await
                .unwrap();
            let mut answer = [0; 4];
            soon(client.read_exact(&mut answer)).await.unwrap();
            before.push(char::from(answer[1]));
            if before.ends_with('1') {
                break;
            }
        }
        example.signal("TERM").await;
        assert!(rest(&mut client).await.unwrap().is_empty());
    };
    let look = Command::new("redis-benchmark")
        .arg("--version")
        .output()
        .await;
    if look.is_err() {
        crate::skipped::skipped("redis-benchmark is not installed (Debian: redis-tools)");
        return;
    }
    let (text, ()) = tokio::join!(load, drain);
    let text = text.unwrap();
    assert!(text.contains("Server closed the connection"), "{text}");
    assert!(!text.contains("reset by peer"), "{text}");
    example.ended().await;
}

/// A web page can make a browser send such a request to a local port.
#[tokio::test]
async fn a_request_of_http_is_closed_before_what_is_in_it_is_run() {
    let body = "SET hacked yes\r\nSET hacked yes\r\n";
    for args in [&[][..], &["--requirepass", "secret"]] {
        let example = start(args).await;
        for (request, answer) in [
            (
                format!("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n{body}"),
                "",
            ),
            (format!("post / HTTP/1.1\r\n\r\n{body}"), ""),
            (format!("*1\r\n$4\r\nPOST\r\n{body}"), ""),
            (
                format!("PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n{body}"),
                "-",
            ),
            (format!("host: localhost\r\n{body}"), ""),
        ] {
            let mut client = example.connect().await;
            client.write_all(request.as_bytes()).await.unwrap();
            let got = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
            assert!(got.starts_with(answer), "{request:?}: {got:?}");
            assert_eq!(got.matches("\r\n").count(), answer.len(), "{got:?}");
        }
        let mut client = example.connect().await;
        if !args.is_empty() {
            says(&mut client, "AUTH secret\r\n", "+OK\r\n").await;
        }
        says(&mut client, "EXISTS hacked\r\n", ":0\r\n").await;
        example.stop("TERM").await;
    }
}

#[tokio::test]
async fn a_transaction_is_run_as_a_whole_or_not_at_all() {
    let example = start(&[]).await;
    let mut client = example.connect().await;
    says(
        &mut client,
        "MULTI\r\nSET a 1\r\nINCR a\r\nGET a\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n:2\r\n$1\r\n2\r\n",
    )
    .await;
    let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    says(
        &mut client,
        "MULTI\r\nSET a 9\r\nGET\r\nEXEC\r\nGET a\r\n",
        &format!(
            "+OK\r\n+QUEUED\r\n-ERR wrong number of arguments for 'get' command\r\n{aborted}$1\r\n2\r\n"
        ),
    )
    .await;
    says(
        &mut client,
        "MULTI\r\nSET a 9\r\nDISCARD\r\nGET a\r\n",
        "+OK\r\n+QUEUED\r\n+OK\r\n$1\r\n2\r\n",
    )
    .await;
    example.stop("TERM").await;
}

#[tokio::test]
async fn messages_reach_subscribers_of_a_pattern() {
    let example = start(&[]).await;
    let mut listener = example.connect().await;
    let confirmed = "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:1\r\n";
    says(&mut listener, "PSUBSCRIBE a*\r\n", confirmed).await;
    let mut sender = example.connect().await;
    says(
        &mut sender,
        "PUBLISH ab hi\r\nPUBLISH ba hi\r\n",
        ":1\r\n:0\r\n",
    )
    .await;
    says(
        &mut listener,
        "",
        "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$2\r\nhi\r\n",
    )
    .await;
    says(&mut listener, "RESET\r\nGET a\r\n", "+RESET\r\n$-1\r\n").await;
    says(&mut sender, "PUBLISH ab hi\r\n", ":0\r\n").await;
    example.stop("TERM").await;
}

/// Commands sent to both servers, whose replies must be identical.
const SAID: &str = "\
    PING\nPING hi\nECHO a\nSET a 1\nSET a 2 NX\nSET a 2 XX GET\nSET b 1 EX 0\nSET b 1 NX XX\nINCR a\n\
    DECRBY a 5\nAPPEND a x\nINCR a\nMSET k1 one k2 two\nMGET k1 none k2\nMSET k1\nEXISTS k1 k1 none\n\
    EXPIRE k1 100\nTTL k1\nTTL k2\nTTL none\nTYPE k1\nTYPE none\nSETEX s 100 v\nTTL s\nSETEX s 0 v\n\
    PSETEX s -1 v\nSETEX s x v\nSETNX s w\nSETNX t w\nGET s\nGET\nGET a b\nnonsense x y\nSELECT 1\n\
    GET a\nSET a other\nDBSIZE\nSELECT 0\nGET a\nSELECT 16\nSELECT -1\nSELECT x\nMULTI\nGET a\nINCR n\n\
    MULTI\nEXEC\nEXEC\nDISCARD\nMULTI\nSET a 5\nDISCARD\nMULTI\nGET\nEXEC\nMULTI\nINCR k2\nGET k2\nEXEC\n\
    UNWATCH\nSCAN x\nSCAN 0 MATCH nothing*\nSCAN 0 MATCH k1 COUNT 1000\nSCAN 0 MATCH\nSCAN 0 COUNT 0\nCLIENT SETNAME me\nCLIENT GETNAME\n\
    CLIENT SETNAME a\\x20b\nRESET\nCLIENT GETNAME\nAUTH pw\nAUTH me pw\nHELLO 9\nHELLO x\n\
    SUBSCRIBE c\nPSUBSCRIBE c*\nGET a\nPING\nUNSUBSCRIBE\nPUNSUBSCRIBE\nPUNSUBSCRIBE\nGET a\n\
    KEYS k1\nFLUSHDB\nDBSIZE\nSELECT 1\nDBSIZE\nFLUSHALL\nDBSIZE\n\
    WATCH\nWATCH w\nMULTI\nWATCH w\nSET w 1\nEXEC\nWATCH w none\nSET w 1\nMULTI\nGET w\nEXEC\n\
    MULTI\nGET w\nEXEC\nWATCH w\nSET w 2\nUNWATCH\nMULTI\nGET w\nEXEC\nWATCH w\nINCR w\nMULTI\nDISCARD\n\
    MULTI\nGET w\nEXEC\nWATCH w\nSET w 3\nRESET\nMULTI\nUNWATCH\nGET w\nEXEC\nWATCH w\nSELECT 1\n\
    SET w 4\nMULTI\nEXEC\nSELECT 0\nWATCH w\nEXPIRE w 100\nMULTI\nEXEC\nWATCH w\nAPPEND w x\nMULTI\n\
    EXEC\nWATCH w\nDEL w\nMULTI\nEXEC\nSET w 1\nWATCH w\nFLUSHALL\nSET w 1\nMULTI\nEXEC\nWATCH w\nINCR w\n\
    MULTI\nGET\nEXEC\n";

/// Returns all replies until the end.
async fn answers(addr: &str) -> String {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client
        .write_all(SAID.replace('\n', "\r\n").as_bytes())
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    String::from_utf8(rest(&mut client).await.unwrap()).unwrap()
}

#[tokio::test]
async fn each_answer_is_that_of_redis_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::new();
    let addr = port.addr();
    let redis = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--port"])
        .arg(port.number().to_string())
        .arg("--dir")
        .arg(dir.path().join(""))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(_redis) = redis else {
        crate::skipped::skipped("redis-server is not installed (Debian: redis-server)");
        return;
    };
    let up = async {
        while TcpStream::connect(addr).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon(up).await;
    let example = start(&[]).await;
    let expected = answers(&addr.to_string()).await;
    let got = answers(&example.addr).await;
    for (i, (got, expected)) in got.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, expected, "line {i}");
    }
    assert_eq!(got, expected);
    example.stop("TERM").await;
}

#[tokio::test]
async fn malformed_commands_get_a_protocol_error_and_a_close() {
    let example = start(&[]).await;
    for (bytes, error) in [
        ("*x\r\n".to_owned(), "invalid multibulk length"),
        ("*2000000\r\n".into(), "invalid multibulk length"),
        ("*1\r\nx".into(), "expected '$', got 'x'"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$600000000\r\n".into(), "invalid bulk length"),
        ("*1\r\n$1\r\nxyz".into(), "expected CR LF after a bulk"),
        ("set \"x\r\n".into(), "unbalanced quotes in request"),
        ("x".repeat(70_000), "too big inline request"),
        (
            format!("*{}", "1".repeat(70_000)),
            "too big mbulk count string",
        ),
        (
            format!("*1\r\n${}", "1".repeat(70_000)),
            "too big bulk count string",
        ),
    ] {
        let mut client = example.connect().await;
        // A command before it is answered, and one after it is not.
        client.write_all(b"PING\r\n").await.unwrap();
        client.write_all(bytes.as_bytes()).await.unwrap();
        let answer = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
        assert_eq!(answer, format!("+PONG\r\n-ERR Protocol error: {error}\r\n"));
    }
    example.stop("INT").await;
}

#[tokio::test]
async fn unauthenticated_clients_may_send_little() {
    let example = start(&["--requirepass", "secret"]).await;
    for (bytes, error) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        (
            "*2\r\n$4\r\nAUTH\r\n$20000\r\n",
            "unauthenticated bulk length",
        ),
    ] {
        let mut client = example.connect().await;
        client.write_all(bytes.as_bytes()).await.unwrap();
        let answer = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
        assert_eq!(answer, format!("-ERR Protocol error: {error}\r\n"));
    }
    let mut client = example.connect().await;
    says(
        &mut client,
        "GET a\r\n",
        "-NOAUTH Authentication required.\r\n",
    )
    .await;
    says(
        &mut client,
        "AUTH wrong\r\n",
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
    )
    .await;
    says(&mut client, "AUTH default secret\r\n", "+OK\r\n").await;
    // An argument of a size that is refused before authentication.
    let big = "x".repeat(20_000);
    says(
        &mut client,
        format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000\r\n{big}\r\n"),
        "+OK\r\n",
    )
    .await;
    says(
        &mut client,
        "APPEND a y\r\nQUIT\r\nPING\r\n",
        ":20001\r\n+OK\r\n",
    )
    .await;
    assert!(rest(&mut client).await.unwrap().is_empty());
    example.stop("TERM").await;
}

#[tokio::test]
async fn a_command_in_pieces_is_one_command_and_many_in_one_are_many() {
    let example = start(&[]).await;
    let mut client = example.connect().await;
    client.set_nodelay(true).unwrap();
    let set = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$7\r\na\r\nb\0cd\r\n";
    for byte in set {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    says(&mut client, "", "+OK\r\n").await;
    says(&mut client, "get key\r\n", "$7\r\na\r\nb\0cd\r\n").await;
    says(
        &mut client,
        "set \"a b\" 'c\\x' ex 100\r\n\r\nget \"\\x61 b\"\r\n",
        "+OK\r\n$3\r\nc\\x\r\n",
    )
    .await;
    // An incomplete command is not executed.
    client
        .write_all(b"*2\r\n$3\r\nDEL\r\n$3\r\nke")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    assert!(rest(&mut client).await.unwrap().is_empty());
    let mut client = example.connect().await;
    says(&mut client, "EXISTS key\r\n", ":1\r\n").await;
    example.stop("TERM").await;
}

#[tokio::test]
async fn a_hundred_thousand_commands_come_back_in_order_though_the_client_reads_late() {
    const COMMANDS: usize = 100_000;
    let example = start(&[]).await;
    let pid = example.process.id().unwrap();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<usize>().unwrap()
    };
    let value = "x".repeat(1000);
    let mut client = example.connect().await;
    says(&mut client, format!("SET big {value}\r\n"), "+OK\r\n").await;
    let before = resident();
    let (mut reader, mut writer) = client.into_split();
    // A hundred megabytes of replies.
    let commands = "INCR n\r\nGET big\r\n".repeat(COMMANDS);
    let mut at = 0;
    // Writes until the server has stopped reading.
    while let Ok(Ok(n)) = timeout(LONG / 40, writer.write(&commands.as_bytes()[at..])).await {
        at += n;
        if at == commands.len() {
            break;
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB more");
    let sending = async {
        writer.write_all(&commands.as_bytes()[at..]).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let reading = async {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let ((), answers) = soon(async { tokio::join!(sending, reading) }).await;
    let mut lines = answers.lines();
    for i in 1..=COMMANDS {
        assert_eq!(lines.next().unwrap(), format!(":{i}"));
        assert_eq!(lines.next(), Some("$1000"));
        assert_eq!(lines.next(), Some(&*value));
    }
    assert_eq!(lines.next(), None);
    example.stop("TERM").await;
}

#[tokio::test]
async fn messages_reach_subscribers_until_they_unsubscribe() {
    let example = start(&[]).await;
    let mut old = example.connect().await;
    let confirmed = "3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
    says(&mut old, "SUBSCRIBE a\r\n", &format!("*{confirmed}")).await;
    let mut new = example.connect().await;
    new.write_all(b"HELLO 3\r\nSUBSCRIBE a\r\n").await.unwrap();
    let mut got = String::new();
    while !got.ends_with(&format!(">{confirmed}")) {
        let mut byte = [0];
        soon(new.read_exact(&mut byte)).await.unwrap();
        got.push(char::from(byte[0]));
    }
    assert!(got.starts_with("%7\r\n$6\r\nserver\r\n"), "{got}");

    let message = "3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n";
    let mut sender = example.connect().await;
    says(&mut sender, "PUBLISH a hello\r\n", ":2\r\n").await;
    says(&mut old, "", &format!("*{message}")).await;
    says(&mut new, "", &format!(">{message}")).await;

    // Under RESP2 few commands are allowed to a subscriber. Under RESP3 all are, and it receives
    // its own message first.
    let refused = "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n";
    says(&mut old, "GET x\r\n", refused).await;
    says(
        &mut new,
        "PUBLISH a hello\r\n",
        &format!(">{message}:2\r\n"),
    )
    .await;
    says(&mut old, "", &format!("*{message}")).await;

    says(
        &mut old,
        "UNSUBSCRIBE\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n",
    )
    .await;
    drop(new);
    says(&mut old, "GET x\r\n", "$-1\r\n").await;
    // A subscriber that has left is forgotten.
    loop {
        sender.write_all(b"PUBLISH a hello\r\n").await.unwrap();
        let mut answer = [0; 4];
        soon(sender.read_exact(&mut answer)).await.unwrap();
        if &answer == b":0\r\n" {
            break;
        }
    }
    example.stop("TERM").await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_closed() {
    let example = start(&[]).await;
    let mut deaf = example.connect().await;
    says(
        &mut deaf,
        "SUBSCRIBE a\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    )
    .await;
    let mut sender = example.connect().await;
    let message = "x".repeat(10_000);
    let publishing = async {
        loop {
            sender
                .write_all(format!("PUBLISH a {message}\r\n").as_bytes())
                .await
                .unwrap();
            let mut answer = [0; 4];
            sender.read_exact(&mut answer).await.unwrap();
            if &answer == b":0\r\n" {
                break;
            }
        }
    };
    soon(publishing).await;
    example.stop("TERM").await;
}

#[tokio::test]
async fn expired_keys_are_gone_and_take_no_memory() {
    let example = start(&[]).await;
    let mut client = example.connect().await;
    says(
        &mut client,
        "SET a 1 PX 1\r\nSET b 2 PX 60000\r\nSET c 3\r\n",
        "+OK\r\n+OK\r\n+OK\r\n",
    )
    .await;
    // The key expires although no command mentions it.
    loop {
        client.write_all(b"DBSIZE\r\n").await.unwrap();
        let mut answer = [0; 4];
        soon(client.read_exact(&mut answer)).await.unwrap();
        if &answer == b":2\r\n" {
            break;
        }
    }
    says(&mut client, "GET a\r\nTTL a\r\n", "$-1\r\n:-2\r\n").await;
    example.stop("TERM").await;
}
