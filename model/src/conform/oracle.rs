//! What each step must be answered, and what it must leave behind.
//!
//! Guarantees: every decision is the receiver's own `step`, performed on a modelled directory;
//! where the clauses leave freedom there is an alternative for each answer, and what was answered
//! decides how it goes on. Refuses to know: how a receiver is asked, and which clause a difference
//! breaks (`blame`).

use std::collections::{BTreeMap, BTreeSet};

use snapshot_receiver::executor::{partial_name, snapshot_name};
use snapshot_receiver::protocol::{
    AwaitingStart, Chunk, DatabaseId, Effect, Event, Failure, FailureKind, FinalChunk, Limits, Memory, OlderStart,
    Rejection, Reply as Answer, State, Text, Vacancy, needs_place, step,
};

use super::calls::Files;
use super::expected::{failed, rejected};
use super::known::{forget, note_refusal};
use super::scenario::{DATA, Envelope};
use super::talk::About;
use super::tree::{Node, Tree};

pub use super::calls::Armed;
pub use super::expected::Expected;
pub use super::known::{Ended, Facts, Known};

/// One answer that is right, and what follows from it.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// What is answered.
    pub expected: Expected,
    /// What stands where then.
    pub tree: Tree,
    /// Places that may hold anything.
    pub open: BTreeSet<String>,
    /// What is known then.
    pub databases: BTreeMap<String, Known>,
    /// The call that is still to fail.
    pub armed: Option<Armed>,
    /// A SHOULD clause that this answer does not keep, and how.
    pub complaint: Option<(&'static str, &'static str)>,
    /// The fault had no effect: nothing can be judged.
    pub void: Option<&'static str>,
}

/// Everything that is known about a receiver under test.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// Declared, or none.
    pub limits: Limits,
    transfers_max: u64,
    /// The data directory that is open.
    pub data_dir: Option<String>,
    /// What must stand where.
    pub tree: Tree,
    /// Places that may hold anything.
    pub open: BTreeSet<String>,
    /// By id.
    pub databases: BTreeMap<String, Known>,
    /// No file grows past this, and what kind of failure that is.
    pub size_limit: Option<(u64, FailureKind)>,
    /// A call that is to fail.
    pub armed: Option<Armed>,
    /// Whether files are kept as their bytes, or as their lengths alone: for who does not see files.
    pub keeps_bytes: bool,
}

impl Oracle {
    /// Before anything happened.
    #[must_use]
    pub fn new(about: &About, tree: Tree) -> Self {
        Self {
            limits: Limits {
                chunk_bytes_max: about.chunk_bytes_max.unwrap_or(u64::MAX),
                snapshot_bytes_max: about.snapshot_bytes_max.unwrap_or(u64::MAX),
                report_bytes: u64::MAX,
            },
            transfers_max: about.transfers_max.unwrap_or(u64::MAX),
            data_dir: None,
            tree,
            open: BTreeSet::new(),
            databases: BTreeMap::new(),
            size_limit: None,
            armed: None,
            keeps_bytes: true,
        }
    }

    /// The path of a database's partial.
    #[must_use]
    pub fn partial(&self, id: &DatabaseId) -> String {
        self.place(&partial_name(id))
    }

    /// The path of a database's snapshot.
    #[must_use]
    pub fn snapshot(&self, id: &DatabaseId) -> String {
        self.place(&snapshot_name(id))
    }

    fn place(&self, name: &str) -> String {
        format!("{}/recv_snapshots/{name}", self.data_dir.as_deref().unwrap_or(DATA))
    }

    /// How many transfers run.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.databases.values().filter(|known| known.state.is_running()).count() as u64
    }

    /// What is known of a database.
    #[must_use]
    pub fn known(&self, id: &str) -> Known {
        self.databases.get(id).cloned().unwrap_or_default()
    }

    /// As things are, with this answer.
    fn unchanged(&self, expected: Expected) -> Alternative {
        Alternative {
            expected,
            tree: self.tree.clone(),
            open: self.open.clone(),
            databases: self.databases.clone(),
            armed: self.armed,
            complaint: None,
            void: None,
        }
    }

    /// Goes on with what was answered.
    pub fn follow(&mut self, alternative: Alternative) {
        self.tree = alternative.tree;
        self.open = alternative.open;
        self.databases = alternative.databases;
        self.armed = alternative.armed;
    }

    /// Takes one event of a database to its reply, on the modelled directory.
    fn drive(
        &self,
        id: &DatabaseId,
        event: Event<Text, Vec<u8>>,
        size_limit: Option<(u64, FailureKind)>,
    ) -> (Alternative, Answer<Text>, bool) {
        let mut after = self.unchanged(Expected::Nothing);
        let mut known = self.known(id.as_str());
        let mut armed = self.armed;
        let mut files = Files {
            partial: self.partial(id),
            snapshot: self.snapshot(id),
            tree: &mut after.tree,
            open: &mut after.open,
            ours: known.ours,
            size_limit,
            armed: &mut armed,
            exceeded: false,
            keeps_bytes: self.keeps_bytes,
        };
        let mut event = event;
        let answer = 'events: loop {
            let next = step(&self.limits, std::mem::take(&mut known.state), event);
            known.state = next.state;
            event = Event::EffectsPerformed;
            for effect in next.effects {
                if let Effect::Reply(answer) = effect {
                    break 'events answer;
                }
                if let Err(failure) = files.perform(&effect) {
                    event = Event::EffectFailed(failure);
                    break;
                }
            }
        };
        known.ours = files.ours && known.state.is_running();
        let exceeded = files.exceeded;
        after.armed = armed;
        after.expected = self.expected(id, &answer);
        after.databases.insert(id.as_str().to_owned(), known);
        (after, answer, exceeded)
    }

    fn expected(&self, id: &DatabaseId, answer: &Answer<Text>) -> Expected {
        match answer {
            Answer::Pending { bytes_done } => Expected::Pending(*bytes_done),
            Answer::Committed { snapshot_lsn } => Expected::Committed {
                lsn: *snapshot_lsn,
                path: format!("recv_snapshots/{}", snapshot_name(id)),
            },
            Answer::Rejected {
                rejection,
                resume_offset,
                ..
            } => rejected(rejection, *resume_offset),
            Answer::Failed { failure, .. } => failed(*failure),
            Answer::Aborted | Answer::NothingRan | Answer::OutOfTurn => Expected::Aborted,
        }
    }

    /// Every right answer to a chunk, the reference's own first.
    #[must_use]
    pub fn chunk(&self, envelope: &Envelope) -> Vec<Alternative> {
        let chunk = match as_sent(envelope).into_chunk() {
            Ok(chunk) => chunk,
            Err(rejection) => {
                let mut after = self.unchanged(rejected(&rejection, 0));
                note_refusal(&mut after.databases);
                return vec![after];
            }
        };
        let id = chunk.identity.database.clone();
        let known = self.known(id.as_str());
        let full = self.running() >= self.transfers_max
            && needs_place(&self.limits, &known.state, &chunk, OlderStart::Refused);
        let transfers_max = self.transfers_max;
        let vacancy = if full {
            Vacancy::Exhausted { transfers_max }
        } else {
            Vacancy::Free
        };
        let event = |chunk: &Chunk<Text, Vec<u8>>| Event::ChunkArrived {
            chunk: chunk.clone(),
            vacancy,
            older_start: OlderStart::Refused,
        };
        let (first, answer, exceeded) = self.drive(&id, event(&chunk), self.size_limit);
        let mut all = vec![first];
        if exceeded {
            let (mut without, _, _) = self.drive(&id, event(&chunk), None);
            without.void = Some("the limit on file sizes had no effect on this receiver");
            all.push(without);
        }
        all.extend(self.freedom(&id, &known, &chunk, &answer));
        for after in &mut all {
            self.note(&id, &known, &chunk, after);
        }
        all
    }

    /// What else may be answered.
    fn freedom(
        &self,
        id: &DatabaseId,
        known: &Known,
        chunk: &Chunk<Text, Vec<u8>>,
        answer: &Answer<Text>,
    ) -> Vec<Alternative> {
        let mut all = Vec::new();
        let is_repeat = |last: &FinalChunk<Text>| {
            chunk.done
                && chunk.offset == last.offset
                && chunk.length() == last.length
                && chunk.identity == last.identity
        };
        let (expected, actual) = (0, chunk.offset);
        match answer {
            Answer::Committed { .. } if chunk.offset > 0 && !known.state.is_running() => {
                let mut other = self.unchanged(rejected(&Rejection::OffsetMismatch { expected, actual }, 0));
                other.complaint = Some(("SR-IDN-003", "a final chunk sent again after its commit was refused"));
                all.push(other);
            }
            Answer::Rejected {
                rejection: Rejection::OffsetMismatch { .. },
                ..
            } if !known.state.is_running() && known.forgotten.as_ref().is_some_and(is_repeat) => {
                let snapshot_lsn = chunk.identity.snapshot_lsn;
                let mut other = self.unchanged(self.expected(id, &Answer::Committed { snapshot_lsn }));
                other.complaint = Some((
                    "SR-IDN-003",
                    "a restart did not end the answer to a repeated final chunk",
                ));
                all.push(other);
            }
            Answer::Rejected {
                rejection,
                removal_failed,
                ..
            } if rejection.is_verdict() => {
                // A failing call that meets a verdict: either is right.
                let operations: &[_] = if removal_failed.is_some() { &["remove"] } else { &[] };
                if let Some(failure) = self.would_fail(id, known, chunk) {
                    all.push(self.ended(id, known, failed(failure)));
                }
                if !operations.is_empty() {
                    let kind = None;
                    all.push(self.ended(id, known, Expected::Failed { operations, kind }));
                }
            }
            Answer::Pending { .. }
            | Answer::Committed { .. }
            | Answer::Rejected { .. }
            | Answer::Failed { .. }
            | Answer::Aborted
            | Answer::NothingRan
            | Answer::OutOfTurn => {}
        }
        if let Answer::Rejected {
            rejection: Rejection::StaleSnapshot { .. },
            ..
        } = answer
            && let State::AwaitingChunk(running) = &known.state
            && running.identity.cluster != chunk.identity.cluster
        {
            // Whether a running transfer of another cluster is a measure can be read in two ways (SR-IDN-004).
            let event = Event::ChunkArrived {
                chunk: chunk.clone(),
                vacancy: Vacancy::Free,
                older_start: OlderStart::Allowed,
            };
            all.push(self.drive(id, event, self.size_limit).0);
        }
        let meets_stranger = known.state.is_running() && !known.ours && chunk.offset > 0;
        let is_refused = matches!(answer, Answer::Rejected { rejection, .. } if !rejection.is_verdict());
        if meets_stranger && !is_refused {
            all.extend(self.strangers(id, known, chunk));
        }
        all
    }

    /// An outsider has put another file in the partial's place.
    fn strangers(&self, id: &DatabaseId, known: &Known, chunk: &Chunk<Text, Vec<u8>>) -> Vec<Alternative> {
        let any: &[_] = &[];
        let (operations, kind) = (any, None);
        let mut all = vec![self.ended(id, known, Expected::Failed { operations, kind })];
        if chunk.done {
            let snapshot_lsn = chunk.identity.snapshot_lsn;
            let mut other = self.ended(id, known, self.expected(id, &Answer::Committed { snapshot_lsn }));
            other.open.insert(self.snapshot(id));
            other.complaint = Some(("SR-SEC-004", "another file in the partial's place was published"));
            all.push(other);
        }
        for after in &mut all {
            after.open.insert(self.partial(id));
        }
        all
    }

    /// The failure that the chunk's own calls would meet before any verdict.
    fn would_fail(&self, id: &DatabaseId, known: &Known, chunk: &Chunk<Text, Vec<u8>>) -> Option<Failure> {
        let (mut tree, mut open, mut armed) = (self.tree.clone(), BTreeSet::new(), self.armed);
        let mut files = Files {
            tree: &mut tree,
            open: &mut open,
            partial: self.partial(id),
            snapshot: self.snapshot(id),
            ours: known.ours,
            size_limit: self.size_limit,
            armed: &mut armed,
            exceeded: false,
            keeps_bytes: self.keeps_bytes,
        };
        let created = if chunk.offset == 0 { files.create() } else { Ok(()) };
        created.and_then(|()| files.write(chunk.offset, chunk.data())).err()
    }

    /// The attempt is over, its partial gone as far as it can go.
    fn ended(&self, id: &DatabaseId, known: &Known, expected: Expected) -> Alternative {
        let mut after = self.unchanged(expected);
        let partial = self.partial(id);
        if after.tree.at(&partial) != Some(&Node::Directory) {
            after.tree.take_away(&partial);
        }
        if matches!(after.expected, Expected::Failed { .. }) {
            after.armed = None;
        }
        let (latest, memory) = (known.state.latest().cloned(), Memory::Nothing);
        let known = Known {
            state: State::AwaitingStart(AwaitingStart { latest, memory }),
            ours: false,
            ..known.clone()
        };
        after.databases.insert(id.as_str().to_owned(), known);
        after
    }

    /// Keeps the facts.
    fn note(&self, id: &DatabaseId, before: &Known, chunk: &Chunk<Text, Vec<u8>>, after: &mut Alternative) {
        let verdict = match &after.expected {
            Expected::Rejected { reason, .. } => match *reason {
                "length_mismatch" => Some(Ended::Length),
                "crc_mismatch" => Some(Ended::Checksum),
                _ => {
                    note_refusal(&mut after.databases);
                    return;
                }
            },
            Expected::Committed { .. } => Some(Ended::Committed),
            Expected::Failed { .. } => Some(Ended::Failed),
            Expected::Opened
            | Expected::Pending(_)
            | Expected::Aborted
            | Expected::Closed
            | Expected::Errored
            | Expected::Nothing => None,
        };
        for (other, known) in &mut after.databases {
            known.facts.others |= other != id.as_str();
        }
        let known = after.databases.entry(id.as_str().to_owned()).or_default();
        let is_start = chunk.offset == 0;
        known.facts = Facts {
            planted: before.facts.planted,
            restarted: if is_start {
                before.state.is_running()
            } else {
                before.facts.restarted
            },
            ended: verdict.unwrap_or(before.facts.ended),
            attempts: before.facts.attempts + u64::from(is_start),
            ..Facts::default()
        };
        if is_start {
            known.forgotten = None;
        }
    }

    /// Every right answer to an abort of one database.
    #[must_use]
    pub fn abort(&self, database: &str) -> Vec<Alternative> {
        let id = match DatabaseId::new(database) {
            Ok(id) => id,
            Err(error) => return vec![self.unchanged(rejected(&Rejection::InvalidDatabaseId(error), 0))],
        };
        let mut all = vec![self.abort_one(&id)];
        // A directory that stands there though no removal of its is owed: found at the opening, or an outsider's.
        let is_ours = match &self.known(id.as_str()).state {
            State::AwaitingStart(phase) => phase.memory == Memory::RemovalOwed,
            State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => true,
        };
        if !is_ours && self.tree.at(&self.partial(&id)) == Some(&Node::Directory) {
            let (operations, kind): (&[_], _) = (&["remove"], None);
            all.push(self.unchanged(Expected::Failed { operations, kind }));
            all.push(self.unchanged(Expected::Aborted));
        }
        all
    }

    fn abort_one(&self, id: &DatabaseId) -> Alternative {
        let before = self.known(id.as_str());
        let (mut after, _, _) = self.drive(id, Event::AbortRequested, None);
        for (other, known) in &mut after.databases {
            known.facts.others |= other != id.as_str();
        }
        if let Some(known) = after.databases.get_mut(id.as_str())
            && before.state.is_running()
        {
            known.facts.ended = Ended::Aborted;
        }
        after
    }

    /// Every right answer to an abort of all.
    #[must_use]
    pub fn abort_all(&self) -> Vec<Alternative> {
        let ids: Vec<String> = self.databases.keys().cloned().collect();
        let mut at = self.clone();
        let mut expected = Expected::Aborted;
        for id in ids {
            let Ok(id) = DatabaseId::new(id) else { continue };
            let after = at.abort_one(&id);
            if after.expected != Expected::Aborted {
                expected = after.expected.clone();
            }
            at.follow(after);
        }
        let mut all = vec![at.unchanged(expected)];
        let stands = |id: &String| {
            let id = DatabaseId::new(id.as_str());
            id.is_ok_and(|id| self.tree.at(&self.partial(&id)) == Some(&Node::Directory))
        };
        if self.databases.keys().any(stands) {
            let (operations, kind): (&[_], _) = (&["remove"], None);
            all.push(at.unchanged(Expected::Failed { operations, kind }));
        }
        all
    }

    /// Idle transfers are ended.
    #[must_use]
    pub fn expire(&self) -> Vec<Alternative> {
        let ids: Vec<String> = self.databases.keys().cloned().collect();
        let mut at = self.clone();
        for id in ids {
            let Ok(id) = DatabaseId::new(id) else { continue };
            let (mut after, _, _) = at.drive(&id, Event::IdleExpired, None);
            if let Some(known) = after.databases.get_mut(id.as_str()) {
                known.facts.ended = Ended::Aborted;
            }
            at.follow(after);
        }
        vec![at.unchanged(Expected::Aborted)]
    }

    /// A closing: running transfers end as by an abort.
    #[must_use]
    pub fn close(&self) -> Vec<Alternative> {
        let mut at = self.abort_all().swap_remove(0);
        at.expected = Expected::Closed;
        forget(&mut at.databases);
        vec![at]
    }

    /// An end without warning: the files stay as they are.
    #[must_use]
    pub fn kill(&self) -> Vec<Alternative> {
        let mut after = self.unchanged(Expected::Nothing);
        forget(&mut after.databases);
        vec![after]
    }

    /// An end without warning while a chunk is handled: it took effect, or not, or its partial is
    /// somewhere in between.
    #[must_use]
    pub fn kill_during(&self, envelope: &Envelope) -> Vec<Alternative> {
        let mut all = self.chunk(envelope);
        all.push(self.unchanged(Expected::Nothing));
        for after in &mut all {
            if let Ok(id) = DatabaseId::new(envelope.source_database_id.as_str()) {
                after.open.insert(self.partial(&id));
            }
            forget(&mut after.databases);
        }
        all
    }

    /// A line that is no request.
    #[must_use]
    pub fn malformed(&self) -> Vec<Alternative> {
        let mut after = self.unchanged(Expected::Errored);
        for known in after.databases.values_mut() {
            known.facts.malformed = true;
        }
        vec![after]
    }

    /// A second receiver on the same directory.
    #[must_use]
    pub fn second_open(&self) -> Vec<Alternative> {
        let operations = &["lock", "open"];
        vec![self.unchanged(Expected::Failed { operations, kind: None })]
    }

    /// An opening; the caller then sets [`data_dir`](Self::data_dir) where it was opened.
    #[must_use]
    pub fn opening(&self, data_dir: &str) -> Vec<Alternative> {
        let mut after = if self.data_dir.is_some() {
            self.close().swap_remove(0)
        } else {
            self.unchanged(Expected::Opened)
        };
        forget(&mut after.databases);
        let receive = format!("{data_dir}/recv_snapshots");
        let parent = data_dir.rsplit_once('/').map_or("", |(parent, _)| parent);
        let refuses = !parent.is_empty() && after.tree.at(parent) != Some(&Node::Directory)
            || after.tree.at(data_dir).is_some_and(|node| *node != Node::Directory)
            || after.tree.at(&receive).is_some_and(|node| *node != Node::Directory);
        if refuses {
            after.expected = Expected::Failed {
                operations: &["open", "lock"],
                kind: None,
            };
            return vec![after];
        }
        after.expected = Expected::Opened;
        let is_orphan = |path: &String, node: &Node| {
            let id = path
                .strip_prefix(&format!("{receive}/"))
                .and_then(|name| name.strip_suffix(".partial"));
            let sweeps = match node {
                Node::File(_) | Node::Huge(_) | Node::Link(_) => true,
                Node::Directory | Node::Special => false,
            };
            sweeps && id.is_some_and(|id| DatabaseId::new(id).is_ok())
        };
        after.tree.nodes.retain(|path, node| !is_orphan(path, node));
        after.open.extend([data_dir.to_owned(), receive]);
        after.open.retain(|path| !path.ends_with(".partial"));
        vec![after]
    }

    /// An outsider's hand: what stands there is not the receiver's any more.
    pub fn outsider(&mut self, path: &str) {
        let data_dir = self.data_dir.clone();
        self.open.remove(path);
        let receive = format!("{}/recv_snapshots/", data_dir.as_deref().unwrap_or(DATA));
        let Some(name) = path.strip_prefix(&receive) else {
            return;
        };
        let partial = name.strip_suffix(".partial");
        if let Some(id) = partial.or(name.strip_suffix(".snapshot")) {
            let known = self.databases.entry(id.to_owned()).or_default();
            known.facts.planted = true;
            if partial.is_some() {
                known.ours = false;
            }
        }
    }
}

/// An envelope as the shipped receiver takes it.
#[must_use]
pub fn as_sent(envelope: &Envelope) -> snapshot_receiver::protocol::Envelope<Vec<u8>> {
    snapshot_receiver::protocol::Envelope {
        source_cluster_id: envelope.source_cluster_id.as_str().into(),
        source_database_id: envelope.source_database_id.as_str().into(),
        snapshot_lsn: envelope.snapshot_lsn,
        total_bytes: envelope.total_bytes,
        total_crc32c: envelope.total_crc32c,
        offset: envelope.offset,
        data: envelope.data.bytes().into_owned(),
        done: envelope.done,
    }
}
