//! Prints the table in `benches/README.md`.

use crate::{
    count::Figures,
    load::STEPS,
    servers::{KINDS, Kind},
};

pub fn print(counts: &Option<Figures>, times: &Figures) {
    println!(
        "| server | compared with | instructions: connection | round trip | 4 KiB round trip | CPU: connection | round trip | 4 KiB round trip |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for kind in KINDS {
        let counted = STEPS.map(|step| match counts {
            Some(counts) => {
                let (ours, theirs) = (counts[&(kind.name, step)], counts[&(kind.against, step)]);
                of_instructions(kind, ours, theirs)
            }
            None => "–".to_owned(),
        });
        let timed = STEPS.map(|step| match times.get(&(kind.name, step)) {
            Some(ratio) if kind.name != kind.against => format!("{ratio:.2}"),
            _ => "1".to_owned(),
        });
        let cells = [counted, timed].concat().join(" | ");
        let against = if kind.name == kind.against {
            ""
        } else {
            kind.against
        };
        println!("| {} | {against} | {cells} |", kind.name);
    }
}

/// Formats the instructions: absolute for a baseline, otherwise the difference.
fn of_instructions(kind: &Kind, ours: f64, theirs: f64) -> String {
    if kind.name == kind.against {
        return format!("{ours:.0}");
    }
    format!("{:+.0} ({:.2} ×)", ours - theirs, ours / theirs)
}
