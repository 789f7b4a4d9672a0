//! Counts user-space instructions, which do not depend on other load on the machine, by running
//! this program under callgrind.

use crate::{
    kit::Kit,
    load::{Client, STEPS, Session, Step},
    pool::Running,
    servers::KINDS,
};
use reagent::BoxError;
use std::{collections::HashMap, env, fs, io, path::Path, process::Command, time::Duration};

/// The argument that makes this program run a server to be counted.
pub const CHILD: &str = "--in-callgrind";

/// Figures per operation, by server and step.
pub type Figures = HashMap<(&'static str, Step), f64>;

/// Long enough for the server to become idle, so that every operation takes the same path.
const WAIT: Duration = Duration::from_micros(1500);

fn times(client: Client, step: Step) -> usize {
    match (client, step) {
        (Client::Tls | Client::Resuming, Step::Connection) => 40,
        (_, Step::Connection) => 150,
        _ => 200,
    }
}

/// Runs every step against one server, with a mark before and after each.
pub fn in_child(kit: &Kit, name: &str) -> Result<(), BoxError> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or("no such server")?;
    let server = Running::start(kind, kit)?;
    for step in STEPS {
        let mut session = Session::new(step, kind.client, &server, kit)?;
        session.run(10, WAIT)?;
        server.mark()?;
        session.run(times(kind.client, step), WAIT)?;
        server.mark()?;
    }
    server.stop();
    Ok(())
}

/// Counts the instructions of each step, or returns `None` if callgrind is missing. Each server is
/// counted in its own process, because the state of the heap affects the result.
pub fn by_callgrind() -> Result<Option<Figures>, BoxError> {
    let dir = env::temp_dir().join(format!("reagent-layers-{}", std::process::id()));
    let mut figures = Figures::new();
    for kind in KINDS {
        fs::create_dir_all(&dir)?;
        let counted = run(&dir, kind.name).and_then(|is_run| match is_run {
            true => totals(&dir).map(Some),
            false => Ok(None),
        });
        fs::remove_dir_all(&dir)?;
        let Some(totals) = counted? else {
            println!("valgrind is not installed: instructions are skipped");
            return Ok(None);
        };
        for (number, step) in STEPS.into_iter().enumerate() {
            // The counts at the second mark of a step are those since the first one.
            let total = totals.get(&(2 * number + 2)).ok_or("a count is missing")?;
            let each = total / times(kind.client, step) as f64;
            figures.insert((kind.name, step), each);
        }
    }
    Ok(Some(figures))
}

/// Counts one server. Returns whether callgrind is available.
fn run(dir: &Path, name: &str) -> Result<bool, BoxError> {
    let run = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--separate-threads=yes"])
        .arg("--dump-before=*pool::mark*")
        .arg(format!(
            "--callgrind-out-file={}",
            dir.join("out").display()
        ))
        .arg(env::current_exe()?)
        .args([CHILD, name])
        .output();
    match run {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
        Ok(run) if run.status.success() => Ok(true),
        Ok(run) => Err(String::from_utf8_lossy(&run.stderr).into_owned().into()),
    }
}

/// Returns the counts at each mark, by the number of the mark.
fn totals(dir: &Path) -> Result<HashMap<usize, f64>, BoxError> {
    let mut totals = HashMap::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        // The files are named `out.NUMBER-THREAD`; one without a number is written at the end.
        let number = name
            .strip_prefix("out.")
            .and_then(|name| name.split('-').next());
        let Some(Ok(number)) = number.map(str::parse) else {
            continue;
        };
        let text = fs::read_to_string(file.path())?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        totals.insert(number, total.ok_or("no total")?.trim().parse()?);
    }
    Ok(totals)
}
