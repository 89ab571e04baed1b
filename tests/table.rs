//! The exhaustive table of phases and events.
//!
//! Guarantees: every phase meets every kind of event, and what follows is the text below, row by
//! row; the table in SPEC.md is this text. Every row is also held against `valid_transition` and
//! `invariants`. Refuses to know: why; that is SPEC.md's.
//!
//! Where `step` is changed on purpose, put the table that the failing test prints into SPEC.md.

use std::fmt::Write;

use snapshot_receiver::protocol::{
    Cause, Chunk, ClusterId, DatabaseId, Effect, Event, Failure, FailureKind, Identity, Limits, Memory, OlderStart,
    Operation, Reply, State, Vacancy, invariants, step, valid_transition,
};
use snapshot_receiver_model::spoilt::is_refused;

type Phase = State<u8>;
type Data = &'static [u8];

const LIMITS: Limits = Limits {
    chunk_bytes_max: 4,
    snapshot_bytes_max: 8,
    report_bytes: 4,
};
const BYTES: Data = b"abcdef";

fn identity(lsn: u64, crc: u32) -> Identity<u8> {
    Identity {
        cluster: ClusterId::<u8>::numbered(1),
        database: DatabaseId::<u8>::numbered(0),
        snapshot_lsn: lsn,
        total_bytes: 6,
        total_crc32c: crc,
    }
}

fn right() -> Identity<u8> {
    identity(5, crc32c::crc32c(BYTES))
}

fn arrived(identity: Identity<u8>, offset: u64, data: Data, done: bool) -> Event<u8, Data> {
    Event::ChunkArrived {
        chunk: Chunk::new(identity, offset, data, done),
        vacancy: Vacancy::Free,
        older_start: OlderStart::Refused,
    }
}

/// Phases are made by `step` itself, as a receiver gets into them.
fn phases() -> Vec<(&'static str, Phase)> {
    let after = |state: Phase, event: Event<u8, Data>| step(&LIMITS, state, event).state;
    let none = Phase::default();
    let receiving = after(none.clone(), arrived(right(), 0, b"abc", false));
    let publishing = after(receiving.clone(), arrived(right(), 3, b"def", true));
    let committed = after(publishing.clone(), Event::EffectsPerformed);
    let aborting = after(receiving.clone(), Event::AbortRequested);
    let failed = Event::EffectFailed(Failure {
        operation: Operation::Remove,
        kind: FailureKind::Other,
    });
    let owed = after(aborting.clone(), failed);
    vec![
        ("AwaitingStart, nothing known", none),
        ("AwaitingStart, committed", committed),
        ("AwaitingStart, removal owed", owed),
        ("AwaitingChunk at 3 of 6", receiving),
        ("AwaitingPublication", publishing),
        ("AwaitingRemoval after an abort", aborting),
    ]
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn events() -> Vec<(&'static str, Event<u8, Data>)> {
    let failed = |operation, kind| Event::EffectFailed(Failure { operation, kind });
    let with = |chunk, vacancy, older_start| Event::ChunkArrived {
        chunk,
        vacancy,
        older_start,
    };
    let start = |identity| Chunk::new(identity, 0, b"ab".as_slice(), false);
    let full = Vacancy::Exhausted { transfers_max: 1 };
    let mut huge = right();
    huge.total_bytes = 9;
    let mut short = right();
    short.total_bytes = 1;
    let wrong_crc = || identity(5, 0);
    let other_cluster = Identity {
        cluster: ClusterId::<u8>::numbered(2),
        snapshot_lsn: 1,
        ..right()
    };
    vec![
        ("start", arrived(right(), 0, b"ab", false)),
        ("start, empty", arrived(right(), 0, b"", false)),
        ("start, reaching a report", arrived(right(), 0, b"abcd", false)),
        ("start, newer", arrived(identity(6, 1), 0, b"ab", false)),
        ("start, older", arrived(identity(4, 1), 0, b"ab", false)),
        (
            "start, older but allowed",
            with(start(identity(4, 1)), Vacancy::Free, OlderStart::Allowed),
        ),
        (
            "start, older, of another cluster",
            arrived(other_cluster, 0, b"ab", false),
        ),
        ("start, no place", with(start(right()), full, OlderStart::Refused)),
        ("start, chunk too large", arrived(right(), 0, b"abcde", false)),
        ("start, total too large", arrived(huge, 0, b"ab", false)),
        ("start, past its total", arrived(short, 0, b"ab", false)),
        ("start and done, too short", arrived(right(), 0, b"ab", true)),
        ("start and done, whole", arrived(identity_of(b"abcd"), 0, b"abcd", true)),
        ("chunk at 3", arrived(right(), 3, b"d", false)),
        ("chunk at 3, empty", arrived(right(), 3, b"", false)),
        ("chunk at 3, done, whole", arrived(right(), 3, b"def", true)),
        ("chunk at 3, done, too short", arrived(right(), 3, b"d", true)),
        ("chunk at 3, done, wrong bytes", arrived(right(), 3, b"xyz", true)),
        ("chunk at 3, past the total", arrived(right(), 3, b"defg", false)),
        ("chunk at 3, too large", arrived(right(), 3, b"defgh", false)),
        ("chunk at 2 (overlap)", arrived(right(), 2, b"cd", false)),
        ("chunk at 4 (gap)", arrived(right(), 4, b"ef", true)),
        ("chunk at the last offset", arrived(right(), u64::MAX, b"d", false)),
        (
            "chunk at 3, other LSN",
            arrived(identity(6, right().total_crc32c), 3, b"def", true),
        ),
        ("chunk at 3, other checksum", arrived(wrong_crc(), 3, b"def", true)),
        ("abort", Event::AbortRequested),
        ("idle", Event::IdleExpired),
        ("performed", Event::EffectsPerformed),
        (
            "create failed: a directory",
            failed(Operation::Create, FailureKind::DirectoryInTheWay),
        ),
        ("create failed", failed(Operation::Create, FailureKind::Other)),
        ("write failed: full", failed(Operation::Write, FailureKind::Full)),
        ("sync failed", failed(Operation::Sync, FailureKind::Other)),
        ("publish failed", failed(Operation::Publish, FailureKind::Other)),
        (
            "directory sync failed",
            failed(Operation::SyncDirectory, FailureKind::Other),
        ),
        ("remove failed", failed(Operation::Remove, FailureKind::Other)),
        ("panicked", failed(Operation::Panic, FailureKind::Other)),
    ]
}

fn identity_of(bytes: Data) -> Identity<u8> {
    Identity {
        total_bytes: bytes.len() as u64,
        total_crc32c: crc32c::crc32c(bytes),
        ..right()
    }
}

fn phase_name(state: &Phase) -> String {
    match state {
        State::AwaitingStart(phase) => match &phase.memory {
            Memory::Nothing => "AwaitingStart".to_owned(),
            Memory::CommittedBy(_) => "AwaitingStart, committed".to_owned(),
            Memory::RemovalOwed => "AwaitingStart, removal owed".to_owned(),
        },
        State::AwaitingChunk(phase) => {
            format!(
                "AwaitingChunk at {} of {}",
                phase.received_bytes, phase.identity.total_bytes
            )
        }
        State::AwaitingPublication(_) => "AwaitingPublication".to_owned(),
        State::AwaitingRemoval(_) => "AwaitingRemoval".to_owned(),
    }
}

fn effect_name(effect: &Effect<u8, Data>) -> String {
    match effect {
        Effect::Create => "create".to_owned(),
        Effect::Write { offset, data } => format!("write {} at {offset}", data.len()),
        Effect::Sync => "sync".to_owned(),
        Effect::Publish(_) => "publish".to_owned(),
        Effect::SyncDirectory => "sync directory".to_owned(),
        Effect::Remove => "remove".to_owned(),
        Effect::Report(_) => "report".to_owned(),
        Effect::Reply(reply) => format!("**{}**", reply_name(reply)),
    }
}

fn reply_name(reply: &Reply<u8>) -> String {
    match reply {
        Reply::Pending { bytes_done } => format!("pending {bytes_done}"),
        Reply::Committed { snapshot_lsn } => format!("committed {snapshot_lsn}"),
        Reply::Rejected {
            rejection,
            resume_offset,
            removal_failed,
        } => {
            let values = rejection.expected_and_actual();
            let values = values.map_or(String::new(), |(expected, actual)| format!(" {expected}/{actual}"));
            let owed = if removal_failed.is_some() {
                ", removal failed"
            } else {
                ""
            };
            format!("{}{values}, resume at {resume_offset}{owed}", rejection.reason())
        }
        Reply::Failed {
            failure,
            removal_failed,
        } => {
            let owed = if removal_failed.is_some() {
                ", removal failed"
            } else {
                ""
            };
            format!("failed {}{owed}", failure.operation)
        }
        Reply::Aborted => "aborted".to_owned(),
        Reply::NothingRan => "nothing ran".to_owned(),
        Reply::OutOfTurn => "out of turn".to_owned(),
    }
}

fn table() -> String {
    let mut text = String::new();
    for (name, state) in phases() {
        write!(
            text,
            "### {name}\n\n| event | next phase | effects, in order |\n|---|---|---|\n"
        )
        .expect("a string");
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for (event_name, event) in events() {
            let cause = Cause::of(&event);
            let next = step(&LIMITS, state.clone(), event);
            let context = format!("{name} x {event_name}");
            assert_eq!(valid_transition(&state, cause, &next.state), Ok(()), "{context}");
            assert_eq!(invariants(&LIMITS, &next.state), Ok(()), "{context}");
            assert!(
                !next.effects.is_empty(),
                "{context}: every event has an answer or something to do"
            );
            let replies = next
                .effects
                .iter()
                .filter(|effect| matches!(effect, Effect::Reply(_)))
                .count();
            let ends_with_reply = matches!(next.effects.last(), Some(Effect::Reply(_)));
            assert_eq!(
                replies,
                usize::from(ends_with_reply),
                "{context}: a reply is the last effect"
            );
            let unchanged = next.state == state;
            let phase = if unchanged {
                "unchanged".to_owned()
            } else {
                phase_name(&next.state)
            };
            let effects: Vec<String> = next.effects.iter().map(effect_name).collect();
            let outcome = format!("{phase} | {}", effects.join(", "));
            // Events with the same outcome share a row, at the place of the first.
            match rows.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, events)) => events.push(event_name),
                None => rows.push((outcome, vec![event_name])),
            }
        }
        for (outcome, events) in rows {
            writeln!(text, "| {} | {outcome} |", events.join("; ")).expect("a string");
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_phase_meets_every_event_as_the_specification_says() {
    let specification = include_str!("../SPEC.md");
    let table = table();
    let (_, from) = specification
        .split_once("<!-- table begins -->\n\n")
        .expect("the table's begin");
    let (written, _) = from.split_once("<!-- table ends -->").expect("the table's end");
    if written != table {
        println!("{table}");
    }
    assert!(written == table, "SPEC.md has another table than the one printed above");
}

#[test]
fn a_step_of_the_same_inputs_is_the_same_step() {
    for (_, state) in phases() {
        for (_, event) in events() {
            let again = step(&LIMITS, state.clone(), event.clone());
            assert_eq!(step(&LIMITS, state.clone(), event), again);
        }
    }
}

/// What each phase means is stated a second time by `valid_transition` and `invariants`; here, that they
/// can refuse.
#[test]
fn states_and_transitions_that_must_not_be_are_refused() {
    for (name, state) in phases() {
        assert_eq!(is_refused(&LIMITS, &state), Ok(()), "{name}");
    }
}
