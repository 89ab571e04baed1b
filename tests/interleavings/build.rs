//! Writes the library's source into modules of this crate: once as it is, and once with each seeded
//! bug, and in each case with the primitives of the two checkers in place of `executor::sync`.
//!
//! Guarantees: what is checked is the shipped source, and a bug is exactly one change of it: a change
//! that does not fit the source exactly once stops the build. Refuses to know: what is checked.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/bugs.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "what the tests say of a bug does not matter here"
)]
mod bugs;

use bugs::{BUGS, Bug};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ASKING: &str = "const ASKING: Duration = Duration::from_micros(80);";

const ENGINES: [&str; 2] = ["loom", "shuttle"];

fn main() -> Outcome<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let source = here.join("../../src").canonicalize()?;
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", here.join("src").display());
    println!("cargo::rerun-if-changed=build.rs");
    let shipped = Bug {
        id: "shipped",
        changes: &[],
        ..BUGS[0]
    };
    let mut modules = String::new();
    let mut table = String::new();
    let mut choosers = String::new();
    for engine in ENGINES {
        // A mistake is found by loom, in the scenario that it names: only that one is compiled. Those
        // that retell an incident are found by a fuzzer's bytes too (`choose`).
        let is_wanted = |bug: &&Bug| engine == "loom" || bug.incident.is_some();
        for bug in std::iter::once(&shipped).chain(BUGS.iter().filter(is_wanted)) {
            let name = format!("{engine}_{}", bug.id);
            writeln!(
                modules,
                "pub mod {name} {{\n{}}}",
                variant(&here, &source, engine, bug, &name)?
            )?;
            writeln!(table, "    (\"{name}\", {name}::run),")?;
            if engine == "shuttle" {
                writeln!(choosers, "    (\"{}\", {name}::choose),", bug.id)?;
            }
        }
    }
    let kind = "&[(&str, fn(&str) -> Option<crate::Explored>)]";
    writeln!(modules, "pub const VARIANTS: {kind} = &[\n{table}];")?;
    let kind = "&[(&str, fn(usize, &[u8]) -> &'static str)]";
    writeln!(modules, "pub const CHOOSERS: {kind} = &[\n{choosers}];")?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("variants.rs"), modules)?;
    Ok(())
}

/// The library as one module.
fn variant(here: &Path, source: &Path, engine: &str, bug: &Bug, name: &str) -> Outcome<String> {
    let mut used = vec![0; bug.changes.len()];
    let mut text = String::new();
    let is_shipped = bug.changes.is_empty();
    // What a mistake's scenario does not need is not compiled once more.
    let needs_tasks =
        is_shipped || fs::read_to_string(here.join("src/tasks.rs"))?.contains(&format!("fn {}()", bug.scenario));
    let modules = if needs_tasks {
        &["protocol", "executor", "tokio"][..]
    } else {
        &["protocol", "executor"]
    };
    for module in modules {
        let file = source.join(module).join("mod.rs");
        let inlined = inline(here, engine, bug, &mut used, &file)?;
        writeln!(text, "pub mod {module} {{\n{inlined}\n}}")?;
    }
    for (change, used) in bug.changes.iter().zip(used) {
        if used != 1 {
            return Err(format!("{}: the change of {} fits {used} times, not once", bug.id, change.file).into());
        }
    }
    let text = text.replace("not(feature = \"tokio\")", "any()");
    let mut text = text.replace("crate::", &format!("crate::variants::{name}::"));
    let run = if is_shipped {
        "let mut all = scenarios::SCENARIOS.iter().chain(tasks::SCENARIOS);
         let (name, body) = all.find(|(name, _)| *name == scenario)?;
         Some(scenarios::explored(name, *body))"
            .to_owned()
    } else {
        let (room, scenario) = (if needs_tasks { "tasks" } else { "scenarios" }, bug.scenario);
        format!("(scenario == {scenario:?}).then(|| scenarios::explored(scenario, {room}::{scenario}))")
    };
    writeln!(
        text,
        "pub fn run(scenario: &str) -> Option<crate::Explored> {{ {run} }}"
    )?;
    if engine == "shuttle" {
        let all = if is_shipped {
            "scenarios::SCENARIOS.iter().chain(tasks::SCENARIOS).collect()".to_owned()
        } else {
            let (room, scenario) = (if needs_tasks { "tasks" } else { "scenarios" }, bug.scenario);
            format!("vec![&({scenario:?}, {room}::{scenario} as fn())]")
        };
        writeln!(
            text,
            "pub fn choose(scenario: usize, turns: &[u8]) -> &'static str {{
                let all: Vec<&(&'static str, fn())> = {all};
                let (name, body) = all[scenario % all.len()];
                engine::choose(turns, *body);
                name
            }}"
        )?;
    }
    let mut own = vec![
        ("engine", format!("{engine}_engine.rs")),
        ("scenarios", "scenarios.rs".to_owned()),
    ];
    if needs_tasks {
        own.push(("tasks", "tasks.rs".to_owned()));
    }
    if engine == "shuttle" && is_shipped {
        own.push(("crowd", "crowd.rs".to_owned()));
    }
    for (module, file) in own {
        writeln!(text, "#[path = {:?}] pub mod {module};", here.join("src").join(file))?;
    }
    Ok(text)
}

/// A file with the modules that it declares in place of their declarations.
fn inline(here: &Path, engine: &str, bug: &Bug, used: &mut [usize], file: &Path) -> Outcome<String> {
    let directory = file.parent().ok_or("a file has a directory")?;
    let mut text = replaced(here, engine, file)?.map_or_else(|| fs::read_to_string(file), Ok)?;
    // Unit tests stand at the end, and run where they are.
    if let Some(end) = text.find("\n#[cfg(test)]\n") {
        text.truncate(end + 1);
    }
    if file.ends_with("tokio/mod.rs") {
        // The checkers have no clock either: a task sleeps at once.
        if text.matches(ASKING).count() != 1 {
            return Err(format!("{} has not: {ASKING}", file.display()).into());
        }
        text = text.replace(ASKING, "const ASKING: Duration = Duration::ZERO;");
    }
    for (change, used) in bug.changes.iter().zip(used.iter_mut()) {
        if file.ends_with(change.file) {
            *used += text.matches(change.from).count();
            text = text.replace(change.from, change.to);
        }
    }
    let mut inlined = String::new();
    for line in text.lines() {
        // The features of the library are not this crate's: everything is in.
        if line.trim() == "#[cfg(feature = \"tokio\")]" {
            continue;
        }
        match line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")) {
            Some((visibility, module)) if ["", "pub "].contains(&visibility) => {
                let file = directory.join(format!("{module}.rs"));
                let content = inline(here, engine, bug, used, &file)?;
                writeln!(inlined, "{visibility}mod {module} {{\n{content}\n}}")?;
            }
            _ => writeln!(inlined, "{line}")?,
        }
    }
    Ok(inlined)
}

/// The locks and threads are the checker's; the thread that looks at a clock is not there.
fn replaced(here: &Path, engine: &str, file: &Path) -> Outcome<Option<String>> {
    let own = if file.ends_with("executor/sync.rs") {
        format!("{engine}_sync.rs")
    } else if file.ends_with("executor/expiry.rs") {
        "no_expiry.rs".to_owned()
    } else {
        return Ok(None);
    };
    Ok(Some(fs::read_to_string(here.join("src").join(own))?))
}
