//! Hostile names: ids that want to lead elsewhere, and any envelope at all.
//!
//! Guarantees: an id that is not valid is refused and changes nothing; whatever the envelope, nothing but
//! the names of its own database changes. Refuses to know: what stands under those names; `hostile` has
//! that.

use std::cell::RefCell;
use std::fs;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::{TestCaseError, TestRunner};
use snapshot_receiver::{ChunkOutcome, DatabaseId, Envelope, ReceiveError, Rejection};

use crate::flaw::Flaw;
use crate::hostile::{Place, own_names, untouched};
use crate::place::say;
use crate::subject::{Checked, Violation, holds, passes};
use crate::support::{Source, snapshot};

const INVALID: [&str; 45] = [
    "../evil",
    "../../evil",
    "../recv_snapshots/evil",
    "/absolute",
    "/tmp/absolute",
    "a/b",
    "a/../b",
    "a/",
    "a\\b",
    "..\\evil",
    "C:\\evil",
    "",
    ".",
    "..",
    "...",
    ".hidden",
    ".lock",
    "nul\0",
    "\0",
    "a\0/b",
    "a\nb",
    "a\rb",
    "a\tb",
    "\u{1}",
    "\u{7f}",
    "\u{1b}[2J",
    "a b",
    " a",
    "a ",
    "a:b",
    "a*",
    "a?",
    "~root",
    "$HOME",
    "%2e%2e%2fevil",
    // Look-alikes: full-width letters, dots and slash, Cyrillic a, two-dot leader, division slash.
    "\u{ff41}b",
    "\u{ff0e}\u{ff0e}\u{ff0f}evil",
    "\u{430}b",
    "\u{2025}",
    "a\u{2215}b",
    // Written right to left, combined, decomposed, invisible.
    "\u{202e}abc",
    "e\u{301}",
    "\u{e9}",
    "a\u{200b}b",
    "\u{1f4a5}",
];

/// Names that look odd and are valid: reserved elsewhere, the receiver's own suffixes, variants of case.
const VALID: [&str; 16] = [
    "a",
    "A",
    "db",
    "DB",
    "Db",
    "CON",
    "nul",
    "aux.txt",
    "com1",
    "-rf",
    "_",
    "a..b",
    "a.",
    "a.partial",
    "a.snapshot",
    "recv_snapshots",
];

fn is_invalid_id(told: &Result<ChunkOutcome, ReceiveError>) -> bool {
    let invalid = |rejection: &Rejection| {
        matches!(
            rejection,
            Rejection::InvalidDatabaseId(_) | Rejection::InvalidClusterId(_)
        )
    };
    matches!(told, Err(ReceiveError::Rejected { rejection, resume_offset: 0, .. }) if invalid(rejection))
}

/// Every name of the lists, and of every length around a limit.
pub(crate) fn check_names(flaw: Option<Flaw>) -> Checked {
    let long = |length| "l".repeat(length);
    let mut invalid: Vec<String> = INVALID.map(str::to_owned).to_vec();
    invalid.extend([201, 247, 248, 255, 256, 4_096, 70_000].map(long));
    invalid.push("\u{e9}".repeat(100));
    let mut valid: Vec<String> = VALID.map(str::to_owned).to_vec();
    valid.extend([199, 200].map(long));
    let cases = invalid.len() + valid.len();

    let place = Place::new();
    let subject = place.open(flaw)?;
    let before = place.listing(&[]);
    for id in &invalid {
        let what = |violation: Violation| Violation {
            what: format!("database id {id:?}: {}", violation.what),
            ..violation
        };
        let told = subject.handle_chunk(Source::new(id, 1, "abc").whole());
        untouched(&place, &before, &[]).map_err(what)?;
        holds(is_invalid_id(&told), "SR-ADM-001", || {
            format!("database id {id:?} was answered {told:?}")
        })?;
        let aborted = subject.receiver.abort_database(id);
        holds(aborted.is_err(), "SR-ADM-001", || {
            format!("an abort of {id:?} was answered {aborted:?}")
        })?;
        untouched(&place, &before, &[]).map_err(what)?;
    }
    // No cluster id becomes part of a path; of those that are not valid, nothing comes.
    for cluster in [String::new(), long(201), long(70_000)] {
        let told = subject.handle_chunk(Source::new("db", 1, "abc").of_cluster(&cluster).whole());
        holds(is_invalid_id(&told), "SR-ADM-001", || {
            format!("cluster id {cluster:?} was answered {told:?}")
        })?;
        untouched(&place, &before, &[])?;
    }
    let mut own = Vec::new();
    for (id, cluster) in valid.iter().zip(["../../evil", "/tmp/x", "nul\0", "eu"].iter().cycle()) {
        own.extend(own_names(id));
        let source = Source::new(id, 1, id).of_cluster(cluster);
        let told = subject.handle_chunk(source.whole());
        holds(told.is_ok(), "SR-ADM-001", || {
            format!("database id {id:?} was answered {told:?}")
        })?;
        untouched(&place, &before, &own)?;
    }
    for id in &valid {
        // Ids that differ only in case are two databases, where the file system tells them apart.
        let found = fs::read(snapshot(&place.data_dir(), id)).ok();
        holds(found.as_deref() == Some(id.as_bytes()), "SR-IDN-002", || {
            format!("{id:?} holds {found:?}")
        })?;
    }
    Ok(cases)
}

/// Any envelope at all, with ids made of what leads elsewhere.
pub(crate) fn check_any_envelope(flaw: Option<Flaw>) -> Checked {
    let cases = ProptestConfig::default().cases;
    let config = ProptestConfig {
        failure_persistence: None,
        cases,
        ..ProptestConfig::default()
    };
    let piece = prop_oneof![
        Just("..".to_owned()),
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("recv_snapshots".to_owned()),
        Just("victim".to_owned()),
        Just("db".to_owned()),
        Just("\0".to_owned()),
        Just("../elsewhere/db".to_owned()),
        "[a-zA-Z0-9._-]{1,8}",
        ".{0,3}",
    ];
    let pieces = proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    let id = prop_oneof![pieces, "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,8}"];
    let numbers = (
        any::<u64>(),
        prop_oneof![3 => Just(3), 1 => any::<u64>()],
        prop_oneof![3 => Just(0), 1 => any::<u64>()],
    );
    let envelopes = (id.clone(), id, numbers, any::<[u8; 3]>(), any::<bool>(), any::<bool>());
    let place = Place::new();
    let subject = place.open(flaw)?;
    let before = place.listing(&[]);
    // None of the answers may be missing: a place that takes nothing would prove nothing.
    let answers = RefCell::new([0_u32; 4]);
    let found = TestRunner::new(config).run(&envelopes, |(database, cluster, numbers, data, done, honest)| {
        let told = subject.handle_chunk(Envelope {
            source_cluster_id: cluster.into(),
            source_database_id: database.as_str().into(),
            snapshot_lsn: numbers.0,
            total_bytes: numbers.1,
            total_crc32c: if honest { crc32c::crc32c(&data) } else { 7 },
            offset: numbers.2,
            data: data.to_vec(),
            done,
        });
        answers.borrow_mut()[match &told {
            Ok(ChunkOutcome::Committed { .. }) => 0,
            Ok(ChunkOutcome::Pending { .. }) => 1,
            Err(ReceiveError::Rejected { .. }) if is_invalid_id(&told) => 2,
            Err(_) => 3,
        }] += 1;
        let own = DatabaseId::new(database.as_str()).map(|_| own_names(&database));
        let own = own.map_or(Vec::new(), Vec::from);
        let outcome = untouched(&place, &before, &own);
        // Make room, and a clean place, for the next.
        let _aborted = subject.receiver.abort();
        own.iter()
            .for_each(|name| drop(fs::remove_file(place.data_dir().join("recv_snapshots").join(name))));
        outcome.map_err(|violation| TestCaseError::fail(format!("{}: {told:?}: {}", violation.clause, violation.what)))
    });
    found.map_err(|error| Violation {
        clause: "SR-SEC-001",
        what: error.to_string(),
    })?;
    let [committed, pending, invalid, other] = answers.into_inner();
    say(&format!(
        "answers: {committed} committed, {pending} pending, {invalid} invalid ids, {other} refused otherwise"
    ));
    assert!(
        committed.min(pending).min(invalid).min(other) > 0,
        "some answer never came"
    );
    Ok(usize::try_from(cases).expect("a count"))
}

#[test]
fn no_name_leads_elsewhere_and_invalid_ones_change_nothing() {
    passes(check_names, "hostile names");
}

#[test]
fn whatever_the_envelope_only_its_own_database_changes() {
    passes(check_any_envelope, "drawn envelopes");
}
