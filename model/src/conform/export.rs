//! Scenarios from the model: every phase at rest meets every event that a source, an abort or a
//! restart can cause.
//!
//! Guarantees: the phases and events are those of the exhaustive table in SPEC.md, as far as they
//! can be caused from outside; each scenario ends with a source that commits. Refuses to know: what
//! must be answered.

use super::scenario::{DATA, Data, Envelope, Origin, Scenario, Step};

const BYTES: &[u8] = b"abcdef";

fn chunk(lsn: u64, crc: u32, offset: u64, data: &[u8], done: bool) -> Step {
    Step::Chunk {
        envelope: Envelope {
            source_cluster_id: "prod".to_owned(),
            source_database_id: "db".to_owned(),
            snapshot_lsn: lsn,
            total_bytes: BYTES.len() as u64,
            total_crc32c: crc,
            offset,
            data: Data::Bytes(data.to_vec()),
            done,
        },
    }
}

fn right(offset: u64, data: &[u8], done: bool) -> Step {
    chunk(5, crc32c::crc32c(BYTES), offset, data, done)
}

fn with(mut step: Step, change: impl FnOnce(&mut Envelope)) -> Step {
    if let Step::Chunk { envelope } = &mut step {
        change(envelope);
    }
    step
}

/// An opening of the scenario's data directory.
pub(super) fn open() -> Step {
    Step::Open {
        data_dir: DATA.to_owned(),
    }
}

/// How a receiver gets into each phase at rest.
fn phases() -> Vec<(&'static str, Vec<Step>)> {
    let directory = super::scenario::in_receive("db.partial");
    vec![
        ("nothing-known", vec![]),
        ("committed", vec![right(0, b"abc", false), right(3, b"def", true)]),
        ("committed-at-once", vec![right(0, BYTES, true)]),
        ("receiving", vec![right(0, b"abc", false)]),
        ("receiving-nothing-yet", vec![right(0, b"", false)]),
        ("receiving-all", vec![right(0, BYTES, false)]),
        (
            "receiving-again",
            vec![
                right(0, b"abc", false),
                right(3, b"def", true),
                right(0, b"ab", false),
                right(2, b"c", false),
            ],
        ),
        (
            "removal-owed",
            vec![
                right(0, b"abc", false),
                Step::TakeAway {
                    path: directory.clone(),
                },
                Step::Place {
                    path: directory.clone(),
                    what: super::scenario::Thing::Directory,
                },
                right(3, b"", true),
                Step::TakeAway { path: directory },
            ],
        ),
    ]
}

/// What can happen to it from outside, and the clause that says most about it.
fn events() -> Vec<(&'static str, &'static str, Vec<Step>)> {
    let one = |step: Step| vec![step];
    let crc = crc32c::crc32c(BYTES);
    vec![
        ("start", "SR-OFF-001", one(right(0, b"ab", false))),
        ("empty-start", "SR-OFF-001", one(right(0, b"", false))),
        ("newer-start", "SR-OFF-001", one(chunk(6, 1, 0, b"ab", false))),
        ("older-start", "SR-IDN-004", one(chunk(4, 1, 0, b"ab", false))),
        (
            "start-past-its-total",
            "SR-ADM-003",
            one(with(right(0, b"ab", false), |sent| sent.total_bytes = 1)),
        ),
        ("start-and-done-too-short", "SR-LEN-001", one(right(0, b"ab", true))),
        ("start-and-done-whole", "SR-OFF-005", one(right(0, BYTES, true))),
        ("start-and-done-wrong", "SR-CRC-002", one(right(0, b"abcdeX", true))),
        ("next-chunk", "SR-OFF-004", one(right(3, b"d", false))),
        ("next-chunk-empty", "SR-OFF-004", one(right(3, b"", false))),
        ("last-chunk", "SR-OFF-005", one(right(3, b"def", true))),
        ("last-chunk-too-short", "SR-LEN-001", one(right(3, b"d", true))),
        ("last-chunk-wrong", "SR-CRC-002", one(right(3, b"xyz", true))),
        ("past-the-total", "SR-ADM-003", one(right(3, b"defg", false))),
        ("overlap", "SR-OFF-003", one(right(2, b"cd", false))),
        ("gap", "SR-OFF-003", one(right(4, b"ef", true))),
        ("the-last-offset", "SR-OFF-003", one(right(u64::MAX, b"d", false))),
        ("other-lsn", "SR-IDN-001", one(chunk(6, crc, 3, b"def", true))),
        ("other-checksum", "SR-IDN-001", one(chunk(5, 0, 3, b"def", true))),
        (
            "other-cluster",
            "SR-IDN-001",
            one(with(right(3, b"def", true), |sent| {
                sent.source_cluster_id = "stage".to_owned();
            })),
        ),
        (
            "abort",
            "SR-ABT-001",
            one(Step::Abort {
                database: Some("db".to_owned()),
            }),
        ),
        ("kill", "SR-REC-001", vec![Step::Kill, open()]),
        ("close", "SR-REC-004", vec![Step::Close, open()]),
        ("expiry", "SR-CON-006", one(Step::Expire)),
    ]
}

/// Every edge.
#[must_use]
pub fn edges() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (phase, way) in phases() {
        for (event, clause, steps) in events() {
            let heal = [
                chunk(9, crc32c::crc32c(BYTES), 0, b"abcd", false),
                chunk(9, crc32c::crc32c(BYTES), 4, b"ef", true),
            ];
            let steps = [open()].into_iter().chain(way.clone()).chain(steps).chain(heal);
            all.push(Scenario {
                name: format!("edge/{phase}/{event}"),
                clause: clause.to_owned(),
                about: format!("{} meets {}", phase.replace('-', " "), event.replace('-', " ")),
                origin: Origin::Model,
                beyond: None,
                steps: steps.collect(),
            });
        }
    }
    all
}
