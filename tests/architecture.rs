//! The walls between the rooms: which module may look at which, and what the pure part may not know.
//!
//! Guarantees: an import against the way of the data (source, protocol, effects, executor, disk) fails
//! here. Refuses to know: what the modules do.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may look into.
const LIBRARY: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("wire", &["protocol"]),
    ("executor", &["protocol"]),
    ("tokio", &["protocol", "executor"]),
];

/// What a function without input and output cannot name.
const OUTSIDE_WORLD: &[&str] = &[
    "std::",
    "tokio",
    "tracing",
    "rustix",
    "Instant",
    "SystemTime",
    "Mutex",
    "File",
    "println!",
    "unsafe",
];

/// As many as fit into one head; the tables of clauses and of seeded bugs are lists, not code.
const LINES_MAX: usize = 640;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a room: a directory, or a single file.
fn room(name: &str) -> Vec<PathBuf> {
    let source = root().join("src");
    let directory = source.join(name);
    if directory.is_dir() {
        files(&directory)
    } else {
        vec![source.join(format!("{name}.rs"))]
    }
}

/// The lines of code: without comments and attributes, and without the unit tests at the end of a file.
fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a source file");
    let lines = text.lines().map(str::trim_start);
    let shipped = lines.take_while(|line| *line != "#[cfg(test)]");
    shipped
        .filter(|line| !line.starts_with("//") && !line.starts_with("#["))
        .map(str::to_owned)
        .collect()
}

/// What stands behind each `crate::` of a line.
fn looked_into(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).filter_map(|rest| {
        rest.split(|character: char| !character.is_alphanumeric() && character != '_')
            .next()
    })
}

#[test]
fn rooms_look_only_where_the_data_comes_from() {
    let mut seen = 0;
    for (name, may_look_into) in LIBRARY {
        for file in room(name) {
            for line in code(&file) {
                for other in looked_into(&line) {
                    let is_room = LIBRARY.iter().any(|(room, _)| *room == other);
                    seen += usize::from(is_room && other != *name);
                    assert!(
                        !is_room || other == *name || may_look_into.contains(&other),
                        "{}: {name} looks into {other}: {line}",
                        file.display()
                    );
                }
            }
        }
    }
    assert!(seen > 10, "only {seen} imports were found: the test has lost its sight");
}

#[test]
fn the_protocol_names_nothing_of_the_outside_world() {
    let files = room("protocol");
    assert!(files.len() > 5, "the protocol was not found");
    for file in files {
        for line in code(&file) {
            for name in OUTSIDE_WORLD {
                assert!(!line.contains(name), "{}: {name}: {line}", file.display());
            }
        }
    }
}

#[test]
fn every_file_says_first_what_it_is_for_and_is_short_enough_to_be_read() {
    let folders = [
        "src",
        "model/src",
        "tests",
        "model/tests",
        "benches",
        "examples",
        "fuzz/fuzz_targets",
    ];
    let mut read = 0;
    for file in folders.iter().flat_map(|folder| files(&root().join(folder))) {
        let text = fs::read_to_string(&file).expect("a source file");
        let lines = text.lines().count();
        let text = text.trim_start_matches("#![cfg_attr(not(feature = \"std\"), no_std)]\n");
        assert!(
            text.starts_with("//!"),
            "{} does not say what it is for",
            file.display()
        );
        assert!(lines <= LINES_MAX, "{}: {lines} lines", file.display());
        read += 1;
    }
    assert!(read > 100, "only {read} files were found");
}
