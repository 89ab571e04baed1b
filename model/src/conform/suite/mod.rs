//! The scenarios written by hand, clause by clause.
//!
//! Guarantees: each is about one clause and says in a phrase what it shows; none goes where the
//! clauses leave the answer open. Refuses to know: what must be answered; the oracle says that.

mod abort;
mod admission;
mod failure;
mod identity;
mod integrity;
mod offsets;
mod publication;
mod recovery;
mod security;

use super::scenario::{DATA, Data, Envelope, Limit, Origin, Scenario, Step, Thing};
use super::talk::About;

/// All of them, for a receiver of these limits.
#[must_use]
pub fn suite(about: &About) -> Vec<Scenario> {
    [
        admission::scenarios(about),
        offsets::scenarios(),
        identity::scenarios(),
        integrity::scenarios(),
        publication::scenarios(),
        abort::scenarios(),
        failure::scenarios(),
        recovery::scenarios(),
        security::scenarios(),
    ]
    .concat()
}

/// Collects the scenarios of one clause after the other.
struct Writer {
    all: Vec<Scenario>,
}

impl Writer {
    const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// One scenario.
    fn put(&mut self, name: &str, about: &str, steps: impl IntoIterator<Item = Step>) {
        self.limited(None, name, about, steps);
    }

    /// One that goes beyond a declared limit.
    fn limited(&mut self, beyond: Option<Limit>, name: &str, about: &str, steps: impl IntoIterator<Item = Step>) {
        let (clause, _) = name.split_once('/').unwrap_or((name, ""));
        self.all.push(Scenario {
            name: name.to_owned(),
            clause: clause.to_owned(),
            about: about.to_owned(),
            origin: Origin::Written,
            beyond,
            steps: steps.into_iter().collect(),
        });
    }
}

/// What a source sends.
#[derive(Clone, Debug)]
struct Source {
    cluster: String,
    database: String,
    lsn: u64,
    total: u64,
    crc: u32,
    bytes: Vec<u8>,
}

/// A source of database `db` in cluster `prod`.
fn source(lsn: u64, bytes: impl AsRef<[u8]>) -> Source {
    let bytes = bytes.as_ref().to_vec();
    Source {
        cluster: "prod".to_owned(),
        database: "db".to_owned(),
        lsn,
        total: bytes.len() as u64,
        crc: crc32c::crc32c(&bytes),
        bytes,
    }
}

impl Source {
    fn of(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    fn in_cluster(mut self, cluster: &str) -> Self {
        cluster.clone_into(&mut self.cluster);
        self
    }

    fn declaring(mut self, crc: u32) -> Self {
        self.crc = crc;
        self
    }

    fn of_total(mut self, total: u64) -> Self {
        self.total = total;
        self
    }

    /// These bytes at that offset.
    fn at(&self, offset: u64, bytes: impl AsRef<[u8]>, done: bool) -> Step {
        Step::Chunk {
            envelope: self.envelope(offset, bytes, done),
        }
    }

    fn envelope(&self, offset: u64, bytes: impl AsRef<[u8]>, done: bool) -> Envelope {
        Envelope {
            source_cluster_id: self.cluster.clone(),
            source_database_id: self.database.clone(),
            snapshot_lsn: self.lsn,
            total_bytes: self.total,
            total_crc32c: self.crc,
            offset,
            data: Data::Bytes(bytes.as_ref().to_vec()),
            done,
        }
    }

    /// Its own bytes from there, so many.
    fn part(&self, from: usize, length: usize) -> Step {
        self.at(from as u64, &self.bytes[from..from + length], false)
    }

    /// The first bytes.
    fn start(&self, length: usize) -> Step {
        self.part(0, length)
    }

    /// The rest, and `done`.
    fn rest(&self, from: usize) -> Step {
        self.at(from as u64, &self.bytes[from..], true)
    }

    /// All in one.
    fn whole(&self) -> Step {
        self.rest(0)
    }
}

fn open() -> Step {
    open_at(DATA)
}

fn open_at(data_dir: &str) -> Step {
    Step::Open {
        data_dir: data_dir.to_owned(),
    }
}

fn abort(database: &str) -> Step {
    Step::Abort {
        database: Some(database.to_owned()),
    }
}

const ABORT_ALL: Step = Step::Abort { database: None };

fn place(path: &str, what: Thing) -> Step {
    Step::Place {
        path: path.to_owned(),
        what,
    }
}

fn receive(name: &str) -> String {
    super::scenario::in_receive(name)
}

fn file(text: &str) -> Thing {
    Thing::File(text.to_owned())
}

fn take_away(path: &str) -> Step {
    Step::TakeAway { path: path.to_owned() }
}
