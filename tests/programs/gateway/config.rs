//! `--config`, `--check` and `--dump`.

use super::in_time;
use crate::program::binary;
use reagent::BoxError;
use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::Stdio,
};
use tempfile::TempDir;
use tokio::process::Command;

/// A folder with a configuration file.
pub struct Files(pub TempDir);

impl Files {
    pub fn new(config: &str) -> Self {
        let files = Files(tempfile::tempdir().unwrap());
        files.write("gateway.toml", config);
        files
    }

    pub fn write(&self, name: &str, contents: &str) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a certificate for this name to `cert.pem`, and its key to `key.pem`.
    pub fn certify(&self, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        self.write("cert.pem", &made.cert.pem());
        self.write("key.pem", &made.signing_key.serialize_pem());
    }

    /// Runs the gateway with this file and these options, in another folder, until it exits.
    async fn run(&self, args: &[&str]) -> Result<String, String> {
        let config = self.path("gateway.toml");
        run(Path::new("/"), &[&["--config", &config], args].concat()).await
    }
}

/// Returns the output of the gateway, or what it prints to standard error if it fails.
async fn run(folder: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(binary("gateway"));
    let command = command
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = in_time(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

const TWO_LISTENERS: &str = r#"
drain = 0.5
max-connections = 100
per-client = 20

[[listener]]
label = "web"
listen = ["127.0.0.1:0", "unix:/run/web.sock"]
to = "127.0.0.1:8000"
tls-cert = "cert.pem"
tls-key = "key.pem"
alpn = ["h2", "http/1.1"]
per-client = 5
max-connections = 50
proxy-in = "required"
trust = ["10.0.0.0/8", "::1"]
allow = "192.0.2.0/24"
deny = "192.0.2.7"
accept-rate = 1000
bandwidth = 1000000
first-byte-timeout = 5
max-age = 3600
proxy-out = "v2"

[[listener.route]]
sni = ["*.example.org", "example.org"]
to = "127.0.0.1:8001"
tls = "pass-through"

[[listener.route]]
alpn = "acme-tls/1"
to = "unix:/run/acme.sock"

[[listener]]
listen = "127.0.0.1:0"
to = "localhost:5432"
"#;

#[tokio::test]
async fn a_check_prints_the_addresses_and_the_layers_in_order() {
    let files = Files::new(TWO_LISTENERS);
    files.certify("localhost");
    let (report, cert) = (
        files.run(&["--check"]).await.unwrap(),
        files.path("cert.pem"),
    );
    let expected = format!(
        "\
listening on 127.0.0.1:0
listening on unix:/run/web.sock
  max-connections: 50
  accept-rate: 1000/s
  proxy-in: required from 10.0.0.0/8, ::1/128
  access: allow 192.0.2.0/24, deny 192.0.2.7/32
  per-client: 5 connections
  TLS clients for *.example.org, example.org, passed through:
    timeouts: first byte 5s, idle 600s, age 3600s
    bandwidth: 1000000 bytes/s per connection
    relay: to 127.0.0.1:8001, with a PROXY header v2
  TLS clients offering acme-tls/1, terminated:
    tls: certificate {cert}, ALPN acme-tls/1
    timeouts: first byte 5s, idle 600s, age 3600s
    bandwidth: 1000000 bytes/s per connection
    relay: to unix:/run/acme.sock, with a PROXY header v2
  other clients:
    tls: certificate {cert}, ALPN h2, http/1.1
    timeouts: first byte 5s, idle 600s, age 3600s
    bandwidth: 1000000 bytes/s per connection
    relay: to 127.0.0.1:8000, with a PROXY header v2
listening on 127.0.0.1:0
  per-client: 20 connections
  timeouts: idle 600s
  relay: to localhost:5432
max-connections: 100
"
    );
    assert_eq!(report, expected);
}

#[tokio::test]
async fn a_dump_means_the_same_wherever_it_is_read() {
    let files = Files::new(TWO_LISTENERS);
    let dump = files.run(&["--dump"]).await.unwrap();
    for line in [
        "drain = 0.5",
        "idle-timeout = 600",
        "proxy-in = \"off\"",
        "label = \"127.0.0.1:0\"",
        "tls = \"terminate\"",
        &format!("tls-cert = \"{}\"", files.path("cert.pem")),
    ] {
        assert!(dump.lines().any(|known| known == line), "{line} in {dump}");
    }
    let again = Files::new(&dump);
    assert_eq!(again.run(&["--dump"]).await.unwrap(), dump);

    // So does the dump of a command line.
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--to",
        "unix:/run/db.sock",
        "--max-age",
        "1.5",
    ];
    let tls = [
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
        "--alpn",
        "a,b",
        "--dump",
    ];
    let dump = run(files.0.path(), &[&args[..], &tls].concat())
        .await
        .unwrap();
    assert!(
        dump.contains(&format!("tls-key = \"{}\"", files.path("key.pem"))),
        "{dump}"
    );
    let again = Files::new(&dump);
    assert_eq!(again.run(&["--dump"]).await.unwrap(), dump);
}

#[tokio::test]
async fn options_of_the_command_line_replace_those_at_the_top_of_the_file() {
    let files = Files::new(
        "drain = 1\nper-client = 2\nidle-timeout = 3\n\
         [[listener]]\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:1'\nidle-timeout = 4\n",
    );
    let args = [
        "--dump",
        "--drain",
        "5",
        "--per-client",
        "6",
        "--idle-timeout",
        "7",
    ];
    let dump = files.run(&args).await.unwrap();
    // `idle-timeout` at the top is only a default.
    for line in ["drain = 5", "per-client = 6", "idle-timeout = 4"] {
        assert!(dump.lines().any(|known| known == line), "{line} in {dump}");
    }
    // An address on the command line is one more listener.
    let args = ["--dump", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:2"];
    let dump = files.run(&args).await.unwrap();
    assert_eq!(dump.matches("[[listener]]").count(), 2, "{dump}");
    assert!(dump.contains("label = \"127.0.0.1:0 (2)\""), "{dump}");
    // And `max-connections` there is a limit of all listeners together.
    let files = Files::new("listen = '127.0.0.1:0'\nto = '127.0.0.1:1'\nmax-connections = 3\n");
    let dump = files
        .run(&["--dump", "--max-connections", "4"])
        .await
        .unwrap();
    assert_eq!(dump.matches("max-connections").count(), 1, "{dump}");
    assert!(dump.starts_with("max-connections = 4\n"), "{dump}");
}

/// Each file, the place of its mistake, and its description.
const MISTAKES: &[(&str, &str)] = &[
    (
        "drain = 1\nper-clients = 3",
        "line 2: unknown key `per-clients`; did you mean `per-client`?",
    ),
    (
        "[[listener]]\nlisen = 'a:1'",
        "line 2: unknown key `lisen`; did you mean `listen`?",
    ),
    ("[[listener]]\n\ndrain = 1", "line 3: unknown key `drain`"),
    (
        "[[listeners]]\nto = 'a:1'",
        "line 1: unknown key `listeners`; did you mean `listener`?",
    ),
    (
        "[[listener]]\n[[listener.route]]\nsni = 'a'\nto = 'a:1'\ntsl = 1",
        "line 5: unknown key `tsl`; did you mean `tls`?",
    ),
    ("xyzzy = 1", "line 1: unknown key `xyzzy`\n"),
    (
        "--drain = 1",
        "line 1: unknown key `--drain`; did you mean `drain`?",
    ),
    ("drain = ", "line 1: "),
    ("drain = 1\ndrain = 2", "line 2: `drain` is given twice\n"),
    (
        "per-client = 'x'",
        "line 1: invalid `per-client`: expected a whole number of at least 1, not the string \"x\"\n",
    ),
    (
        "per-client = 0",
        "line 1: invalid `per-client`: expected a whole number of at least 1; leave it out for no limit",
    ),
    (
        "\ndrain = -1",
        "line 2: invalid `drain`: expected a number of seconds from 0 to 1000000000, not -1\n",
    ),
    (
        "drain = 99999999999999999999",
        "expected a number of seconds from 0 to 1000000000, not the number 99999999999999999999\n",
    ),
    (
        "max-connections = 99999999999999999999",
        "line 1: invalid `max-connections`: the number is too large; leave it out for no limit",
    ),
    (
        "accept-rate = 2.5",
        "line 1: invalid `accept-rate`: expected a whole number of at least 1, not the number 2.5\n",
    ),
    (
        "bandwidth = true",
        "line 1: invalid `bandwidth`: expected a whole number of at least 1, not true\n",
    ),
    (
        "threads = [1]",
        "line 1: invalid `threads`: expected a whole number of at least 1, not an array\n",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nthreads = 100000",
        "gateway.toml: `threads` is 100000; expected at most 4096",
    ),
    (
        "drain = 1979-05-27",
        "line 1: invalid `drain`: expected a number of seconds from 0 to 1000000000, not a date\n",
    ),
    (
        "proxy-in = 3",
        "line 1: invalid `proxy-in`: expected a string\n",
    ),
    (
        "tls-cert = 3",
        "line 1: invalid `tls-cert`: expected a string, not the number 3; write it in quotes",
    ),
    (
        "admin-token = 'two words'",
        "line 1: invalid `admin-token`: expected letters, digits and punctuation of ASCII",
    ),
    (
        "admin-token = 'é'",
        "line 1: invalid `admin-token`: expected letters, digits and punctuation of ASCII",
    ),
    (
        "listen = 'nowhere'",
        "line 1: invalid `listen`: invalid address \"nowhere\": a port is missing",
    ),
    (
        "listen = 'a:+80'",
        "invalid address \"a:+80\": expected a port from 0 to 65535 after the last colon, in digits",
    ),
    (
        "listen = ['a:1', '::1:80']",
        "invalid address \"::1:80\": an IPv6 address must be in brackets, as in [::1]:8080",
    ),
    (
        "to = '::1:80'",
        "invalid address \"::1:80\": an IPv6 address must be in brackets, as in [::1]:8080",
    ),
    (
        "listen = 'systemd:'",
        "invalid address \"systemd:\": expected systemd:NAME",
    ),
    (
        "listen = 'unix:app.sock'",
        "invalid address \"unix:app.sock\": expected an absolute path",
    ),
    (
        "admin = 'http://a:1'",
        "invalid address \"http://a:1\": unknown scheme; expected HOST:PORT, unix:/PATH or systemd:NAME",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nadmin = 'a:1'",
        "the address a:1 is listed twice",
    ),
    (
        "drain = '1'",
        "line 1: invalid `drain`: expected a number of seconds from 0 to 1000000000, not the string \
         \"1\"; write it without quotes",
    ),
    (
        "max-age = 0",
        "line 1: invalid `max-age`: must be greater than 0",
    ),
    (
        "proxy-in = 'maybe'",
        "line 1: invalid `proxy-in`: unknown value `maybe`, expected one of `off`, ",
    ),
    (
        "to = 'nowhere'",
        "line 1: invalid `to`: invalid address \"nowhere\": expected HOST:PORT",
    ),
    (
        "allow = [\n'::1',\n'10.0.0.0/33']",
        "line 1: invalid `allow`: invalid network \"10.0.0.0/33\"",
    ),
    (
        "listener = 1",
        "line 1: invalid `listener`: expected tables, each of which begins with [[listener]]",
    ),
    (
        "[listener]\nlisten = 'a:1'",
        "line 1: `listener` is a single table; write [[listener]]",
    ),
    (
        "[[listener]]\nlisten = 'a:1'\nto = 'b:1'\n[listener.route]\nto = 'b:1'",
        "line 4: `route` is a single table; write [[listener.route]]",
    ),
    (
        "[[listener]]\nlisten = 1",
        "line 2: invalid `listen`: expected a string or an array of strings, not the number 1; write it \
         in quotes",
    ),
    (
        "[[listener]]\nlisten = 'a:1'\nto = 'b:1'\n[[listener.route]]\nsni = 'a'",
        "line 4: `to` is missing",
    ),
    (
        "",
        "gateway.toml: expected `listen` or a [[listener]] table",
    ),
    (
        "[[listener]]\nto = 'a:1'",
        "gateway.toml, line 1: `listen` is missing",
    ),
    (
        "\n[[listener]]\nlisten = 'a:1'",
        "line 2: listener \"a:1\": `to` is missing",
    ),
    (
        "[[listener]]\nlisten = 'a:1'\nto = 'b:1'\nlabel = 'b'\ntls-cert = 'x'",
        "listener \"b\": `tls-cert` requires `tls-key`",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nclient-ca = 'x'",
        "gateway.toml: `client-ca` requires `tls-cert`",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\ntrust = '::1'",
        "gateway.toml: `trust` requires `proxy-in`",
    ),
    (
        "listen = ['a:1', 'a:1']\nto = 'b:1'",
        "the address a:1 is listed twice",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nlabel = 'x'\n[[listener]]\nlisten = 'b:1'\nlabel = 'x'",
        "line 4: listener \"x\": the label \"x\" is used twice",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nlabel = 'metrics'",
        "the label \"metrics\" is reserved",
    ),
    (
        "listen = 'a:1'\n[[route]]\nto = 'b:1'\ntls = 'terminate'",
        "route 1: `tls = \"terminate\"` requires `tls-cert`",
    ),
    (
        "listen = 'a:1'\n[[route]]\nto = 'b:1'\nsni = 'a..b'",
        "route 1: invalid server name \"a..b\"",
    ),
    (
        "to = 'b:1'\ntls-admit = 'cn:operator'\n[[listener]]\nlisten = 'a:1'\ntls-admit = []",
        "invalid `tls-admit`: the list is empty; leave it out to match all",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nallow = []",
        "invalid `allow`: the list is empty; leave it out to match all",
    ),
    (
        "listen = 'a:1'\n[[route]]\nto = 'b:1'\nsni = []",
        "line 4: invalid `sni`: the list is empty; leave it out to match all",
    ),
    (
        "listen = 'a:1'\n[[route]]\nto = 'b:1'\n[[route]]\nto = 'c:1'\nalpn = 'h2'",
        "route 2: it is never used, since route 1 matches all clients",
    ),
    (
        "listen = 'a:1'\n[[route]]\nto = 'b:1'\nalpn = ['h2', '']",
        "route 1: invalid protocol in `alpn`: expected names of 1 to 255 bytes",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nadmin-token = 'x'",
        "gateway.toml: `admin-token` requires `admin`",
    ),
    (
        "listen = 'a:1'\nto = 'b:1'\nadmin = 'a.sock'",
        "expected HOST:PORT or the absolute path of a Unix socket",
    ),
];

#[tokio::test]
async fn every_mistake_is_reported_with_its_line() {
    for (config, expected) in MISTAKES {
        let files = Files::new(config);
        for args in [&["--check"][..], &["--dump"], &[]] {
            let said = files.run(args).await.expect_err(config);
            let file = format!("error: {}", files.path("gateway.toml"));
            assert!(said.starts_with(&file), "{config}: {said}");
            assert!(said.contains(expected), "{config}: {said}");
            assert_eq!(said.lines().count(), 1, "{config}: {said}");
        }
    }
    let said = run(Path::new("/"), &["--config", "/dev/zero", "--check"]).await;
    assert!(
        said.unwrap_err()
            .contains("cannot read /dev/zero: expected a regular file")
    );
    let files = Files::new("");
    fs::remove_file(files.path("gateway.toml")).unwrap();
    let said = files.run(&["--check"]).await.unwrap_err();
    assert!(said.starts_with("error: cannot read "), "{said}");
}

#[tokio::test]
async fn a_check_finds_what_only_the_system_knows() -> Result<(), BoxError> {
    let listener = "listen = '127.0.0.1:0'\nto = '127.0.0.1:1'\n";
    for (top, expected) in [
        ("metrics = 'nowhere'", "nowhere"),
        ("handover = '/nonexistent/a'", "/nonexistent/a"),
        ("admin = '0.0.0.0:0'", "the admin page at 0.0.0.0:0"),
        ("admin = '/tmp'", "/tmp is a folder"),
        ("handover = '/tmp'", "/tmp is a folder"),
        ("handover = ''", " is a folder"),
    ] {
        let files = Files::new(&format!("{top}\n{listener}"));
        let said = files.run(&["--check"]).await.expect_err(top);
        assert!(said.contains(expected), "{top}: {said}");
    }
    for (more, expected) in [
        ("tls-cert = 'cert.pem'\ntls-key = 'key.pem'", "cert.pem"),
        (
            "tls-cert = 'gateway.toml'\ntls-key = 'key.pem'",
            "gateway.toml",
        ),
        ("[[listener]]\nlisten = '127.0.0.1'", "127.0.0.1"),
        (
            "[[listener]]\nlisten = '127.0.0.1:99999'",
            "127.0.0.1:99999",
        ),
        (
            "[[listener]]\nlisten = '127.0.0.1:0'\nto = 'name.invalid:1'",
            "name.invalid:1",
        ),
        ("[[listener]]\nlisten = '/'", "/ is a folder"),
        (
            "[[listener]]\nlisten = '127.0.0.1:1'",
            "listener \"127.0.0.1:1\" relays to 127.0.0.1:1, which is its own address",
        ),
        ("[[listener]]\nlisten = '*:1'", "which is its own address"),
        (
            "[[listener]]\nlisten = 'localhost:1'",
            "which is its own address",
        ),
        (
            "[[listener]]\nlisten = '/nonexistent/a.sock'",
            "/nonexistent/a.sock",
        ),
        (
            &format!("[[listener]]\nlisten = '/tmp/{}'", "a".repeat(103)),
            "is too long: expected at most 107 bytes",
        ),
    ] {
        let files = Files::new(&format!("{listener}{more}"));
        let said = files.run(&["--check"]).await.expect_err(more);
        assert!(
            said.starts_with("error: ") && said.contains(expected),
            "{more}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_check_refuses_addresses_that_cannot_be_open_together() {
    let files = Files::new("");
    let path = files.path("a.sock");
    let other_spelling = files.path("./a.sock");
    let more = |listen: &str| format!("[[listener]]\nlisten = '{listen}'\nto = 'unix:/a'\n");
    let check = async |top: &str, addresses: [&str; 2]| {
        let listeners = addresses.map(more).concat();
        files.write("gateway.toml", &format!("{top}\n{listeners}"));
        files.run(&["--check"]).await
    };
    let overlapping = [
        ["0.0.0.0:8000", "127.0.0.1:8000"],
        ["127.0.0.1:8000", "*:8000"],
        ["localhost:8000", "127.0.0.1:8000"],
        ["127.0.0.1:8000", "[::ffff:127.0.0.1]:8000"],
        ["0.0.0.0:8000", "[::ffff:127.0.0.1]:8000"],
        ["[::]:8000", "[::1]:8000"],
        ["0.0.0.0:8000", ":8000"],
        [&path, &other_spelling],
        [&path, &format!("unix:{path}")],
    ];
    for pair in overlapping {
        let said = check("", pair).await.expect_err(pair[1]);
        let expected = format!("the addresses {} and {} overlap", pair[0], pair[1]);
        assert!(said.contains(&expected), "{said}");
    }
    // The pages have a server of their own, so an address of IPv6 includes those of IPv4 there.
    for (top, one) in [
        ("admin = '127.0.0.1:8000'", "0.0.0.0:8000"),
        ("metrics = '127.0.0.1:8000'", "[::]:8000"),
        (&format!("handover = '{path}'"), &path),
    ] {
        let said = check(top, [one, "127.0.0.1:9"]).await.expect_err(top);
        assert!(said.contains("overlap"), "{said}");
    }
    let apart = [
        ["0.0.0.0:8000", "127.0.0.1:8001"],
        ["0.0.0.0:8000", "[::]:8000"],
        ["127.0.0.1:0", "127.0.0.1:0"],
        [&path, &files.path("b.sock")],
        ["systemd:a", "systemd:b"],
    ];
    for pair in apart {
        check("", pair).await.expect(pair[1]);
    }
}

#[tokio::test]
async fn a_check_warns_of_a_spread_that_the_drain_cuts_short() {
    let args = ["--to", "unix:/a", "--listen", "127.0.0.1:0", "--check"];
    for (spread, expected) in [
        (
            "11",
            "warning: `spread` is 11 s, but the drain ends after 10 s",
        ),
        ("10", ""),
    ] {
        let mut command = Command::new(binary("gateway"));
        let command = command.args(args).args(["--spread", spread]);
        let output = in_time(command.kill_on_drop(true).output()).await.unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_an_error_unless_its_reader_has_left() {
    let files = Files::new("listen = '127.0.0.1:0'\nto = '127.0.0.1:1'\n");
    for option in ["--check", "--dump"] {
        let start = |stdout: Stdio| {
            let mut command = Command::new(binary("gateway"));
            command.args(["--config", &files.path("gateway.toml"), option]);
            let command = command.stdout(stdout).stderr(Stdio::piped());
            command.kill_on_drop(true).spawn().unwrap()
        };
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = in_time(start(full.into()).wait_with_output())
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{option}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("error: cannot write to standard output: "),
            "{said}"
        );

        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let output = in_time(start(OwnedFd::from(writer).into()).wait_with_output())
            .await
            .unwrap();
        assert!(output.status.success(), "{option}");
        assert!(output.stderr.is_empty(), "{option}");
    }
}

#[tokio::test]
async fn the_files_in_the_documentation_are_valid() {
    let readme = include_str!("../../../examples/gateway/README.md");
    let blocks: Vec<_> = readme.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let files = Files::new(block.split("```").next().unwrap());
        let dump = files.run(&["--dump"]).await.unwrap();
        assert!(dump.contains("[[listener]]"), "{dump}");
    }
}
