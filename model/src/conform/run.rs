//! One scenario through one door.
//!
//! Guarantees: the scenario has a scratch directory of its own, with bystanders around the data
//! directory; after each step everything below it is compared. Refuses to know: how a receiver is
//! reached, and what a clause says.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a few steps change what a scenario needs or knows; all others go to the receiver as they are"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use snapshot_receiver::protocol::FailureKind;

use super::blame::{Case, Complaint, Difference, Verdict, envelope, judge};
use super::calls::Armed;
use super::door::{Breakage, Broken, Door, Request, Response};
use super::oracle::{Alternative, Expected, Known, Oracle};
use super::scenario::{DATA, Limit, RECEIVE, Scenario, Step, fill};
use super::talk::{About, Reply};
use super::tree::{Tree, place, take_away};

/// Files that no receiver may touch.
const BYSTANDERS: [&str; 2] = ["bystander", "around/bystander"];
/// The largest chunk, and the largest total, that is sent where no limit is declared.
const UNDECLARED_MAX: u64 = 1 << 20;
/// The largest chunk that is sent at all.
pub const CHUNK_SENT_MAX: u64 = 32 << 20;
/// The most transfers that are started at once.
pub const TRANSFERS_STARTED_MAX: u64 = 256;

/// What came of a scenario.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every answer was right; SHOULD clauses that were not kept.
    Right(Vec<Told>),
    /// An answer was wrong.
    Wrong(Box<Wrong>),
    /// The receiver does not do what it needs.
    Unsupported(String),
    /// This door cannot do what it needs.
    NotVisible(String),
    /// The adapter broke.
    Broken(Box<Breaking>),
}

/// A complaint, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The SHOULD clause.
    pub clause: &'static str,
    /// What should be better.
    pub message: String,
    /// At which step, from 1.
    pub at: usize,
}

/// A wrong answer.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// At which step, from 1.
    pub at: usize,
    /// What is wrong.
    pub difference: Difference,
    /// Each step so far with its answer.
    pub transcript: Vec<String>,
    /// What stood where before the step.
    pub before: Vec<String>,
    /// And after.
    pub after: Vec<String>,
}

/// A broken adapter.
#[derive(Clone, Debug)]
pub struct Breaking {
    /// At which step, from 1.
    pub at: usize,
    /// How.
    pub broken: Broken,
    /// Each step so far with its answer.
    pub transcript: Vec<String>,
}

/// A scratch directory; a small file system in it is unmounted when it goes.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    mounted: Option<PathBuf>,
}

impl Scratch {
    /// A new one, with the bystanders.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(root.join("around"))?;
        for name in BYSTANDERS {
            fs::write(root.join(name), format!("{name}: not to be touched"))?;
        }
        Ok(Self { root, mounted: None })
    }

    fn mount(&mut self, bytes: u64) -> Result<(), String> {
        let at = self.root.join(DATA);
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"])
            .arg(&at)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            self.mounted = Some(at);
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(at) = self.mounted.take() {
            // Lazily: an adapter may still hold the directory open until it opens another.
            let _status = Command::new("umount").arg("-l").arg(&at).status();
        }
        // What cannot be removed stays in the temporary directory of the run, which is removed too.
        let _removed = fs::remove_dir_all(&self.root);
    }
}

/// What a scenario needs that this receiver does not declare.
///
/// # Errors
/// The feature or limit.
pub fn needs(scenario: &Scenario, about: &About) -> Result<(), String> {
    let mut oracle = Oracle::new(about, Tree::default());
    oracle.data_dir = Some(DATA.to_owned());
    let feature = |name: &str| {
        if about.has(name) {
            Ok(())
        } else {
            Err(format!("the feature `{name}` is not named"))
        }
    };
    if let Some(limit) = scenario.beyond {
        let (name, declared) = match limit {
            Limit::ChunkBytes => ("chunk_bytes_max", about.chunk_bytes_max),
            Limit::SnapshotBytes => ("snapshot_bytes_max", about.snapshot_bytes_max),
            Limit::Transfers => ("transfers_max", about.transfers_max),
        };
        declared.ok_or_else(|| format!("the limit `{name}` is not named"))?;
    }
    let mut ids = BTreeSet::new();
    let mut opened = BTreeSet::new();
    for (_, n, step) in scenario.unrolled() {
        match step {
            Step::Abort { .. } => feature("abort")?,
            Step::Kill | Step::KillDuring { .. } => feature("restart")?,
            Step::SecondOpen => feature("lock")?,
            // A directory that was used before is opened again.
            Step::Open { data_dir } if !opened.insert(data_dir.as_str()) => feature("restart")?,
            Step::Place { path, .. } if opened.is_empty() && path.starts_with(RECEIVE) => feature("restart")?,
            _ => {}
        }
        let Some(sent) = envelope(step) else {
            if let Step::Abort { database: Some(id) } = step
                && let Some(after) = oracle.abort(&fill(id, n, "")).into_iter().next()
            {
                oracle.follow(after);
            }
            continue;
        };
        let sent = sent.filled(n, "");
        within(scenario, about, sent.data.length(), sent.total_bytes)?;
        let Some(after) = oracle.chunk(&sent).into_iter().next() else {
            continue;
        };
        match &after.expected {
            Expected::Rejected { reason, .. } => match (*reason, scenario.beyond) {
                ("stale_snapshot", _) => feature("stale")?,
                ("too_many_transfers", Some(Limit::Transfers))
                | ("snapshot_too_large", Some(Limit::SnapshotBytes))
                | ("chunk_too_large", Some(Limit::ChunkBytes)) => {}
                ("too_many_transfers" | "snapshot_too_large" | "chunk_too_large", _) => {
                    return Err(format!("it goes beyond a declared limit ({reason})"));
                }
                _ => {}
            },
            _ => {
                ids.insert(sent.source_database_id.clone());
            }
        }
        oracle.follow(after);
    }
    if ids.len() > 1 { feature("multi") } else { Ok(()) }
}

/// Whether databases of the scenario have one file here: where the file system folds case, ids that differ
/// in case alone share a name, which is no receiver's mistake (SR-ADM-001).
fn share_a_name(scenario: &Scenario, root: &Path) -> bool {
    let sent = scenario.unrolled().into_iter().filter_map(|(_, n, step)| {
        let envelope = envelope(step)?;
        Some(fill(&envelope.source_database_id, n, ""))
    });
    let ids: BTreeSet<String> = sent.collect();
    let folded: BTreeSet<String> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
    folded.len() < ids.len() && root.join(BYSTANDERS[0].to_ascii_uppercase()).symlink_metadata().is_ok()
}

fn within(scenario: &Scenario, about: &About, length: u64, total: u64) -> Result<(), String> {
    if about.chunk_bytes_max.is_none() && length > UNDECLARED_MAX {
        return Err("the limit `chunk_bytes_max` is not named".to_owned());
    }
    if about.snapshot_bytes_max.is_none() && total > UNDECLARED_MAX {
        return Err("the limit `snapshot_bytes_max` is not named".to_owned());
    }
    if length > CHUNK_SENT_MAX && scenario.beyond == Some(Limit::ChunkBytes) {
        return Err(format!("chunks of more than {CHUNK_SENT_MAX} bytes are not sent"));
    }
    Ok(())
}

/// Runs a scenario. The scratch directory outlives it: a receiver that goes on to the next scenario
/// closes this one's directory only then.
pub fn run(door: &mut dyn Door, about: &About, scenario: &Scenario, scratch: &mut Scratch) -> Outcome {
    if let Err(why) = needs(scenario, about) {
        return Outcome::Unsupported(why);
    }
    if share_a_name(scenario, &scratch.root) {
        let why = "the file system of the scratch directory does not tell upper from lower case (--scratch)";
        return Outcome::NotVisible(why.to_owned());
    }
    let tree = match Tree::scan(&scratch.root) {
        Ok(tree) => tree,
        Err(error) => return kit(0, error.to_string(), Vec::new()),
    };
    let mut runner = Runner {
        oracle: Oracle::new(about, tree.clone()),
        seen: tree,
        scratch,
        transcript: Vec::new(),
        complaints: Vec::new(),
    };
    for (number, n, step) in scenario.unrolled() {
        let step = filled(step, n, &runner.scratch.root);
        match runner.step(door, number, &step) {
            Ok(()) => {}
            Err(outcome) => return *outcome,
        }
    }
    Outcome::Right(runner.complaints)
}

fn kit(at: usize, message: String, transcript: Vec<String>) -> Outcome {
    let broken = Broken {
        what: Breakage::Kit(message),
        request: String::new(),
        standard_error: String::new(),
    };
    Outcome::Broken(Box::new(Breaking { at, broken, transcript }))
}

fn filled(step: &Step, n: u64, root: &Path) -> Step {
    let scratch = root.to_string_lossy();
    match step {
        Step::Chunk { envelope } => Step::Chunk {
            envelope: envelope.filled(n, &scratch),
        },
        Step::KillDuring { envelope, after_micros } => Step::KillDuring {
            envelope: envelope.filled(n, &scratch),
            after_micros: *after_micros,
        },
        Step::Abort { database: Some(id) } => Step::Abort {
            database: Some(fill(id, n, &scratch)),
        },
        other => other.clone(),
    }
}

struct Runner<'a> {
    oracle: Oracle,
    seen: Tree,
    scratch: &'a mut Scratch,
    transcript: Vec<String>,
    complaints: Vec<Told>,
}

impl Runner<'_> {
    fn step(&mut self, door: &mut dyn Door, number: usize, step: &Step) -> Result<(), Box<Outcome>> {
        if let Some(done) = self.outside(number, step) {
            self.transcript.push(format!("{number:>3}. {step}"));
            return done;
        }
        let data_dir = match step {
            Step::Open { data_dir } => data_dir.clone(),
            _ => self.oracle.data_dir.clone().unwrap_or_else(|| DATA.to_owned()),
        };
        let real = self.scratch.root.join(&data_dir);
        let (request, alternatives) = self.asked(step, &data_dir, &real);
        let taken = door.take(request);
        let reply = match taken {
            Err(broken) => return Err(Box::new(self.broke(number, step, *broken))),
            Ok(Response::NotHere(why)) => return Err(Box::new(Outcome::NotVisible(why))),
            Ok(Response::Reply(Reply::Unsupported { why })) => {
                return Err(Box::new(Outcome::Unsupported(format!("it answered so: {why}"))));
            }
            Ok(Response::Done) => None,
            Ok(Response::Killed(reply)) => reply,
            Ok(Response::Reply(reply)) => Some(reply),
        };
        let told = reply.as_ref().map_or(String::new(), |reply| format!(" -> {reply}"));
        self.transcript.push(format!("{number:>3}. {step}{told}"));
        if alternatives.is_empty() {
            return self.armed(step);
        }
        self.judge(number, step, &alternatives, reply.as_ref())?;
        match step {
            Step::Open { .. } => {
                let opened = matches!(reply, Some(Reply::Opened { .. }));
                self.oracle.data_dir = opened.then_some(data_dir);
            }
            Step::Close | Step::Kill | Step::KillDuring { .. } => {
                // What was to fail is gone with the receiver.
                (self.oracle.data_dir, self.oracle.armed) = (None, None);
            }
            _ => {}
        }
        Ok(())
    }

    /// What an outsider does, without the receiver.
    fn outside(&mut self, number: usize, step: &Step) -> Option<Result<(), Box<Outcome>>> {
        let transcript = self.transcript.clone();
        let done = |result: io::Result<()>| {
            result.map_err(|error| Box::new(kit(number, format!("{step}: {error}"), transcript)))
        };
        let root = self.scratch.root.clone();
        match step {
            Step::Place { path, what } => {
                self.oracle.outsider(path);
                let placed = place(&root, &mut self.oracle.tree, path, what);
                Some(done(placed.and_then(|()| self.look())))
            }
            Step::TakeAway { path } => {
                self.oracle.outsider(path);
                let taken = take_away(&root, &mut self.oracle.tree, path);
                Some(done(taken.and_then(|()| self.look())))
            }
            Step::SmallDisk { bytes } => {
                if let Err(why) = self.scratch.mount(*bytes) {
                    let why = format!("no small file system can be mounted here: {why}");
                    return Some(Err(Box::new(Outcome::NotVisible(why))));
                }
                self.oracle.size_limit = Some((*bytes, FailureKind::Full));
                let looked = self.look();
                self.oracle.tree = self.seen.clone();
                Some(done(looked))
            }
            _ => None,
        }
    }

    fn look(&mut self) -> io::Result<()> {
        self.seen = Tree::scan(&self.scratch.root)?;
        Ok(())
    }

    fn asked<'s>(&self, step: &'s Step, data_dir: &str, real: &'s Path) -> (Request<'s>, Vec<Alternative>) {
        let oracle = &self.oracle;
        match step {
            Step::Open { .. } => (Request::Open(real), oracle.opening(data_dir)),
            Step::SecondOpen => (Request::SecondOpen(real), oracle.second_open()),
            Step::Chunk { envelope } => (Request::Chunk(envelope), oracle.chunk(envelope)),
            Step::Abort { database: None } => (Request::Abort(None), oracle.abort_all()),
            Step::Abort { database: Some(id) } => (Request::Abort(Some(id)), oracle.abort(id)),
            Step::Close => (Request::Close, oracle.close()),
            Step::Kill => (Request::Kill, oracle.kill()),
            Step::KillDuring { envelope, after_micros } => (
                Request::KillDuring(envelope, Duration::from_micros(*after_micros)),
                oracle.kill_during(envelope),
            ),
            Step::Malformed { line } => (Request::Line(line), oracle.malformed()),
            Step::FileSizeLimit { bytes } => (Request::FileSizeLimit(*bytes), Vec::new()),
            Step::FailNext { operation, kind } => (Request::FailNext(operation, kind), Vec::new()),
            Step::Expire => (Request::Expire, oracle.expire()),
            // The outsider's steps are taken elsewhere, and repetitions are unrolled.
            Step::Place { .. } | Step::TakeAway { .. } | Step::SmallDisk { .. } | Step::Repeat { .. } => {
                (Request::Kill, oracle.kill())
            }
        }
    }

    /// A fault was set; the oracle must know.
    fn armed(&mut self, step: &Step) -> Result<(), Box<Outcome>> {
        match step {
            Step::FileSizeLimit { bytes } => {
                self.oracle.size_limit = bytes.map(|bytes| (bytes, FailureKind::Other));
            }
            Step::FailNext { operation, kind } => {
                self.oracle.armed = Armed::named(operation, kind);
            }
            _ => {}
        }
        Ok(())
    }

    fn judge(
        &mut self,
        number: usize,
        step: &Step,
        alternatives: &[Alternative],
        reply: Option<&Reply>,
    ) -> Result<(), Box<Outcome>> {
        let after = match Tree::scan(&self.scratch.root) {
            Ok(after) => after,
            Err(error) => return Err(Box::new(kit(number, error.to_string(), self.transcript.clone()))),
        };
        let known = self.known(step);
        let before = std::mem::replace(&mut self.seen, after);
        let case = Case {
            step,
            known: &known,
            alternatives,
            reply,
            before: &before,
            after: &self.seen,
        };
        match judge(&case) {
            Verdict::Right(index, complaints) => {
                let alternative = alternatives[index].clone();
                if let Some(why) = alternative.void {
                    return Err(Box::new(Outcome::NotVisible(why.to_owned())));
                }
                self.complain(number, complaints);
                self.oracle.follow(alternative);
                Ok(())
            }
            Verdict::Wrong(difference) => Err(Box::new(Outcome::Wrong(Box::new(Wrong {
                at: number,
                difference,
                transcript: std::mem::take(&mut self.transcript),
                before: before.lines(),
                after: self.seen.lines(),
            })))),
        }
    }

    fn complain(&mut self, at: usize, complaints: Vec<Complaint>) {
        let told = complaints
            .into_iter()
            .map(|(clause, message)| Told { clause, message, at });
        self.complaints.extend(told);
    }

    /// What is known of the step's database; of any that runs, where it has none.
    fn known(&self, step: &Step) -> Known {
        let id = match step {
            Step::Abort { database: Some(id) } => Some(id),
            _ => envelope(step).map(|envelope| &envelope.source_database_id),
        };
        match id {
            Some(id) => self.oracle.known(id),
            None => {
                let mut all = self.oracle.databases.values();
                let running = all.clone().find(|known| known.state.is_running());
                running.or_else(|| all.next()).cloned().unwrap_or_default()
            }
        }
    }

    fn broke(&mut self, at: usize, step: &Step, broken: Broken) -> Outcome {
        // A runtime may take the signal back that was ignored for it.
        let of_signal = matches!(&broken.what, Breakage::Died(how) if how == "signal 25");
        let of_signal = of_signal || broken.standard_error.contains("SIGXFSZ");
        if of_signal && self.oracle.size_limit.is_some() {
            return Outcome::NotVisible("it does not ignore SIGXFSZ, and died of it".to_owned());
        }
        let mut transcript = std::mem::take(&mut self.transcript);
        transcript.push(format!("{at:>3}. {step} -> BROKE: {}", broken.what));
        Outcome::Broken(Box::new(Breaking { at, broken, transcript }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::reference::{Reference, about};
    use crate::conform::rust::InProcess;
    use crate::conform::suite::suite;

    /// What a scenario comes to in a scratch directory.
    fn outcome(name: &str, scratch: &mut Scratch) -> Outcome {
        let all = suite(&about());
        let scenario = all.iter().find(|scenario| scenario.name == name).expect("a scenario");
        let mut door = InProcess::new(&|| Box::new(Reference::default()));
        door.start().expect("a receiver");
        run(&mut door, &about(), scenario, scratch)
    }

    #[test]
    fn ids_that_share_a_name_here_are_nobodys_mistake() {
        let directory = tempfile::tempdir().expect("a directory");
        let name = "SR-IDN-002/equal-but-for-case";
        let mut scratch = Scratch::new(directory.path().join("tells-apart")).expect("a scratch directory");
        assert!(matches!(outcome(name, &mut scratch), Outcome::Right(_)));
        let mut scratch = Scratch::new(directory.path().join("folds")).expect("a scratch directory");
        // As a file system looks that folds case.
        fs::write(scratch.root.join(BYSTANDERS[0].to_ascii_uppercase()), "").expect("a file");
        assert!(matches!(outcome(name, &mut scratch), Outcome::NotVisible(why) if why.contains("upper")));
        let other = "SR-IDN-002/equal-but-for-punctuation";
        assert!(matches!(outcome(other, &mut scratch), Outcome::Right(_)));
    }
}
