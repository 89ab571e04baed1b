//! SPEC.md and README.md against the project: what they name is there.
//!
//! Guarantees: the clauses' prose and table in SPEC.md are those of the model; every function and
//! test that the table names exists; no clause is without a check; no id is lost; figures of the README that
//! stand elsewhere too are the same there. Refuses to know: whether a test is a good one; the seeded bugs say that.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use snapshot_receiver::protocol::{Crc32c, IdentityMismatch, InvalidId, Rejection};
use snapshot_receiver_model::bugs::claims;
use snapshot_receiver_model::clauses::CLAUSES;
use snapshot_receiver_model::layers::{LAYERS, REAL_FILES};
use snapshot_receiver_model::report::terminal::grouped;
use snapshot_receiver_model::system::{Profile, systems};
use snapshot_receiver_model::traceability::{Standing, prose, table, traces};

/// Every id there has ever been: none is used again or dropped.
const IDS: [(&str, u8); 13] = [
    ("ADM", 5),
    ("OFF", 5),
    ("IDN", 4),
    ("LEN", 1),
    ("CRC", 4),
    ("PUB", 5),
    ("ABT", 4),
    ("ERR", 5),
    ("CON", 6),
    ("REC", 4),
    ("PRG", 3),
    ("SEC", 4),
    ("LIV", 1),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn between<'a>(text: &'a str, mark: &str) -> &'a str {
    let (_, from) = text
        .split_once(&format!("<!-- {mark} begin -->\n\n"))
        .expect("the begin mark");
    let (within, _) = from
        .split_once(&format!("\n<!-- {mark} end -->"))
        .expect("the end mark");
    within
}

#[test]
fn the_specification_has_every_clause_as_the_model_states_it() {
    let specification = read("SPEC.md");
    let help = "run `cargo gate spec --markdown` and put its output between the marks";
    assert!(between(&specification, "clauses") == prose(), "the clauses: {help}");
    assert!(between(&specification, "trace") == table(), "the table: {help}");
}

#[test]
fn the_order_of_judgement_names_every_reason() {
    let refused: [Rejection; 11] = [
        Rejection::InvalidDatabaseId(InvalidId::Empty),
        Rejection::InvalidClusterId(InvalidId::Empty),
        Rejection::ChunkTooLarge { limit: 1, actual: 2 },
        Rejection::SnapshotTooLarge { limit: 1, actual: 2 },
        Rejection::LengthOverrun { total_bytes: 1, end: 2 },
        Rejection::StaleSnapshot { newest: 2, actual: 1 },
        Rejection::TooManyTransfers { transfers_max: 1 },
        Rejection::IdentityMismatch(IdentityMismatch::SnapshotLsn { expected: 1, actual: 2 }),
        Rejection::OffsetMismatch { expected: 1, actual: 2 },
        Rejection::LengthMismatch {
            total_bytes: 2,
            received_bytes: 1,
        },
        Rejection::CrcMismatch {
            declared: 1,
            computed: 2,
        },
    ];
    let specification = read("SPEC.md");
    let (_, section) = specification.split_once("## Order of judgement").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next section");
    let row = |rejection: &Rejection| {
        let mut rows = section.lines();
        let row = rows.find(|row| row.contains(&format!("`{}`", rejection.reason())));
        row.unwrap_or_else(|| panic!("no row of {}", rejection.reason()))
    };
    let numbers = |row: &str| row.split('|').nth(3).is_some_and(|cell| !cell.trim().is_empty());
    for rejection in &refused {
        let row = row(rejection);
        assert_eq!(numbers(row), rejection.expected_and_actual().is_some(), "{row}");
    }
}

#[test]
fn every_function_and_test_that_the_table_names_exists() {
    for clause in CLAUSES {
        for reference in clause.code.iter().chain(clause.tests) {
            let (file, function) = reference.split_once("::").expect("file::function");
            let text = read(file);
            let is_there = [format!("fn {function}("), format!("fn {function}<")]
                .iter()
                .any(|it| text.contains(it));
            assert!(is_there, "{}: no function {function} in {file}", clause.id);
        }
    }
}

#[test]
fn every_clause_has_code_and_a_check_and_no_id_is_lost() {
    let expected: Vec<String> = IDS
        .iter()
        .flat_map(|(part, count)| (1..=*count).map(move |number| format!("SR-{part}-{number:03}")))
        .collect();
    let listed: Vec<&str> = CLAUSES.iter().map(|clause| clause.id).collect();
    assert_eq!(listed, expected);
    for trace in traces() {
        assert!(
            !trace.clause.code.is_empty() && !trace.is_unchecked(),
            "{}",
            trace.clause.id
        );
    }
}

#[test]
fn clauses_named_in_the_sources_exist() {
    let ids: BTreeSet<&str> = CLAUSES.iter().map(|clause| clause.id).collect();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut named = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            pending.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for (at, _) in text.match_indices("SR-") {
            let id = text.get(at..at + 10).unwrap_or_default();
            if id.as_bytes().get(3).is_some_and(u8::is_ascii_uppercase) {
                assert!(ids.contains(id), "{}: {id}", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 100, "the sources name their clauses: {named}");
}

#[test]
fn the_figures_in_the_readme_are_those_of_the_model() {
    let readme = read("README.md");
    let pending = traces()
        .iter()
        .filter(|trace| matches!(trace.standing(), Standing::Pending(_)))
        .count();
    let states = |profile| -> usize {
        let pinned = systems::<Crc32c>(profile)
            .into_iter()
            .filter_map(|system| system.pinned_states);
        pinned.sum()
    };
    let (quick, full) = (grouped(states(Profile::Quick)), grouped(states(Profile::Full)));
    let configurations = systems::<Crc32c>(Profile::Quick);
    let worlds: BTreeSet<&str> = configurations.iter().map(|system| system.name).collect();
    for figure in [
        format!("{quick} in all for quick, {full} for full"),
        format!(
            "{} bounded worlds in {} configurations",
            worlds.len(),
            configurations.len()
        ),
        format!("seeds {} bugs", claims().len()),
        format!("{} on real files", REAL_FILES.len()),
        format!("has the {} clauses", CLAUSES.len()),
        format!("{pending} of the {} clauses wait for another layer", CLAUSES.len()),
    ] {
        assert!(readme.contains(&figure), "README.md does not say {figure:?}");
    }
}

#[test]
fn the_table_of_worlds_in_the_readme_has_the_bounds_of_each() {
    let readme = read("README.md");
    let bounds = |name: &str, profile: Profile| {
        let mut bounds: Vec<String> = Vec::new();
        for system in systems::<Crc32c>(profile) {
            let both = format!("{}+{}", system.crashes_max, system.failures_max);
            if system.name == name && !bounds.contains(&both) {
                bounds.push(both);
            }
        }
        bounds
    };
    for system in systems::<Crc32c>(Profile::Full) {
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", system.name)));
        let row = row.unwrap_or_else(|| panic!("README.md has no row of {}", system.name));
        let quick = bounds(system.name, Profile::Quick);
        let mut full = bounds(system.name, Profile::Full);
        full.retain(|both| !quick.contains(both));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[3..5], [quick.join(", "), full.join(", ")], "{}", system.name);
    }
}

/// The file says what was measured; the README may not say more.
#[test]
fn the_figures_of_mutants_in_the_readme_are_those_of_their_table() {
    let (mutants, readme) = (read("model/MUTANTS.md"), read("README.md"));
    let mut files = [0_usize; 7];
    let mut all = [0_usize; 7];
    for line in mutants.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let figures: Vec<usize> = cells.iter().filter_map(|cell| cell.parse().ok()).collect();
        let Ok(figures) = <[usize; 7]>::try_from(figures) else {
            continue;
        };
        assert_eq!(figures[0], figures[1..].iter().sum::<usize>(), "{line}");
        if cells[1] == "**all**" {
            all = figures;
        } else if !cells[1].starts_with("**") {
            files.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        }
    }
    assert_eq!(files, all, "the rows of the files, and of all");
    let [made, caught, timeout, missed, equivalent, unviable, not_run] = all;
    let words: Vec<&str> = readme.split_whitespace().collect();
    let readme = words.join(" ");
    for figure in [
        format!("{made} in all, {equivalent} are equivalent, {unviable} do not compile and {not_run} are constants"),
        format!(
            "The other {} were run, and tests detect every one",
            caught + timeout + missed
        ),
    ] {
        assert!(readme.contains(&figure), "README.md does not say {figure:?}");
    }
    assert_eq!(missed, 0, "tests detect every one");
}

#[test]
fn every_incident_that_a_bug_retells_is_listed_with_its_source() {
    let specification = read("SPEC.md");
    let (_, incidents) = specification.split_once("## Incidents").expect("the incidents");
    let listed: BTreeSet<&str> = incidents
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|ids| ids.split(", "))
        .collect();
    let layers = LAYERS
        .iter()
        .filter_map(|layer| layer.claims)
        .flat_map(|claims| claims());
    for claim in claims().into_iter().chain(layers) {
        for incident in claim.incidents {
            assert!(listed.contains(incident), "{incident} of {}", claim.name);
        }
    }
}
