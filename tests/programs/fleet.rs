//! `examples/fleet/` prints what its README says.

use crate::{program::binary, skipped::skipped};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// The script takes half a minute, most of which are leases.
const RUN: Duration = Duration::from_secs(120);

/// Returns how many connections of each client each gateway has admitted, and how many were
/// refused, from the table below the line that begins with `title`.
fn table(output: &str, title: &str) -> Vec<Vec<usize>> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with(title));
    assert!(lines.next().is_some(), "{title}: {output}");
    let rows = lines.skip(1).take_while(|line| !line.is_empty());
    let row = |line: &str| {
        line.split_whitespace()
            .skip(1)
            .map(|n| n.parse().unwrap())
            .collect()
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn a_fleet_shares_its_limit_through_failures() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fleet/fleet.py");
    let run = Command::new("python3")
        .arg(script)
        .arg("--gateway")
        .arg(binary("gateway"))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let run = timeout(RUN, run).await.expect("an end in time").unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    if errors.contains("was not found") {
        return skipped(errors);
    }
    assert!(run.status.success(), "{errors}");
    let output = String::from_utf8(run.stdout).unwrap();

    for (title, range) in [
        ("Each client connects", 5..=5),
        ("The store is gone", 3..=5),
        ("The store is back", 5..=5),
        ("Gateway 2 was killed", 5..=5),
        ("Gateway 3 has drained", 5..=5),
    ] {
        let clients = table(&output, title);
        assert_eq!(clients.len(), 2, "{output}");
        for counts in clients {
            let admitted: usize = counts[..3].iter().sum();
            assert!(range.contains(&admitted), "{title}: {output}");
            assert_eq!(admitted + counts[3], 15, "{output}");
        }
    }
    for counts in table(&output, "Gateway 3 has drained") {
        assert_eq!(counts[1..3], [0, 0], "{output}");
    }
}
