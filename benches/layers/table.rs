//! The figures, as `benches/README.md` has them.

use crate::{
    count::Figures,
    load::STEPS,
    servers::{KINDS, Kind},
};

pub fn print(counts: &Option<Figures>, times: &Figures) {
    println!(
        "| server | against | instructions: a connection | a round trip | of 4 KiB | CPU: a connection | a round trip | of 4 KiB |"
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

/// How many there are where it is compared with nothing, else how many more.
fn of_instructions(kind: &Kind, ours: f64, theirs: f64) -> String {
    if kind.name == kind.against {
        return format!("{ours:.0}");
    }
    format!("{:+.0} ({:.2} ×)", ours - theirs, ours / theirs)
}
