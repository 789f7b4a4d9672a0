//! Compiler errors for servers whose parts do not fit: they appear once and suggest a fix.
//!
//! The programs are in `unfit/`. Each starts with texts that its errors must contain.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The compiler errors expected for a program.
struct Program {
    path: PathBuf,
    errors: usize,
    texts: Vec<String>,
}

impl Program {
    fn new(path: PathBuf) -> Self {
        let source = fs::read_to_string(&path).unwrap();
        let (mut errors, mut texts) = (1, Vec::new());
        for line in source.lines().filter_map(|line| line.strip_prefix("//@ ")) {
            match line.strip_prefix("errors: ") {
                Some(count) => errors = count.parse().unwrap(),
                None => texts.push(line.to_owned()),
            }
        }
        Program {
            path,
            errors,
            texts,
        }
    }
}

fn programs() -> BTreeMap<String, Program> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("unfit");
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths
        .map(|path| (name(&path), Program::new(path)))
        .collect()
}

/// Creates a package of these programs, with the locked dependencies of the workspace.
fn package(programs: &BTreeMap<String, Program>) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("diagnostics");
    fs::create_dir_all(&dir).unwrap();
    fs::copy(here.join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let mut manifest = format!(
        "[package]\nname = \"diagnostics\"\nedition = \"2024\"\n\
         [workspace]\n\
         [dependencies]\n\
         tower-reagent.path = {here:?}\n\
         tokio = {{ version = \"1\", features = [\"io-util\"] }}\n\
         tower = {{ version = \"0.5\", features = [\"limit\", \"timeout\", \"util\"] }}\n"
    );
    for (name, program) in programs {
        let path = &program.path;
        writeln!(manifest, "[[bin]]\nname = {name:?}\npath = {path:?}").unwrap();
    }
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    dir
}

#[test]
fn the_compiler_says_once_what_does_not_fit_and_what_to_do() {
    let programs = programs();
    let dir = package(&programs);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "check",
            "--bins",
            "--keep-going",
            "--offline",
            "--message-format=json",
        ])
        .arg("--target-dir")
        .arg(dir.join("target"))
        .current_dir(&dir)
        .output()
        .unwrap();
    let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut built = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (target, message) = (&line["target"]["name"], &line["message"]);
        built += usize::from(target == "start_make" && line["reason"] == "compiler-artifact");
        // The last error of a program is the summary, which has no location.
        if message["level"] == "error" && !message["spans"].as_array().unwrap().is_empty() {
            let rendered = message["rendered"].as_str().unwrap().to_owned();
            let target = target.as_str().unwrap().to_owned();
            errors.entry(target).or_default().push(rendered);
        }
    }
    assert_eq!(built, 1, "{}", String::from_utf8_lossy(&output.stderr));
    for (name, program) in &programs {
        let errors = errors.remove(name).unwrap_or_default();
        let all = errors.concat();
        assert_eq!(errors.len(), program.errors, "{name}: {all}");
        for text in &program.texts {
            assert!(all.contains(text), "{name}: expected {text:?} in:\n{all}");
        }
    }
}
