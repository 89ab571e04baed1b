//! A whole run: every scenario of a profile through one door, and the verdict on each clause.
//!
//! Guarantees: a failure that is told was seen in a receiver that had done nothing else before,
//! or says that it was not; each clause's failure is shown by the shortest scenario found. Refuses
//! to know: doors, and how results are shown.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clauses::Level;

use super::door::{Breakage, Broken, Door};
use super::results::{BrokenResult, ClauseResult, ClauseVerdict, Failure, NO_SCENARIO, Results, blank, hidden};
use super::run::{Outcome, Scratch, Wrong, run};
use super::scenario::{Origin, Scenario};
use super::shrink::shrink;
use super::talk::About;

/// After so many breakages a run ends: the adapter is broken, and that is known.
const BREAKAGES_MAX: usize = 5;
/// After so many silences, too: each takes the whole time limit.
const SILENCES_MAX: usize = 2;
/// Runs that shrinking one failure may take.
const SHRINKING_RUNS_MAX: usize = 120;

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The profile's name.
    pub profile: String,
    /// The seed of what was drawn at random.
    pub seed: u64,
    /// Where scratch directories are made.
    pub scratch: PathBuf,
    /// Time for shrinking all failures together.
    pub shrinking: Duration,
    /// Whether SHOULD clauses count.
    pub strict: bool,
    /// The command that repeats a failure, but for the scenario's file.
    pub command: String,
    /// Clauses to look at; all where it is empty.
    pub clauses: Vec<String>,
    /// Whether only some scenarios were asked for: then their clauses alone are looked at.
    pub scenarios_chosen: bool,
}

struct Campaign<'a> {
    door: &'a mut dyn Door,
    plan: &'a Plan,
    about: About,
    /// Whether the receiver that runs has run nothing yet.
    fresh: bool,
    next: usize,
    /// The scratch directory of the scenario before: the receiver closes it when it opens the next.
    last: Option<Scratch>,
    clauses: Vec<ClauseResult>,
    found: Vec<Found>,
    broken: Vec<BrokenResult>,
    silences: usize,
    /// Whether the scenario before ended in a mistake.
    wrong_before: bool,
    scenarios_run: usize,
    passed_over: Vec<String>,
    skipped: Vec<String>,
}

struct Found {
    clauses: Vec<&'static str>,
    scenario: Scenario,
    wrong: Wrong,
    again: bool,
}

/// Runs the scenarios that `choose` gives for what the receiver declares.
///
/// # Errors
/// The scratch directory cannot be used.
pub fn campaign(door: &mut dyn Door, plan: &Plan, choose: impl FnOnce(&About) -> Vec<Scenario>) -> io::Result<Results> {
    let started = Instant::now();
    let mut campaign = Campaign {
        door,
        plan,
        about: About::default(),
        fresh: true,
        next: 0,
        last: None,
        clauses: blank(),
        found: Vec::new(),
        broken: Vec::new(),
        silences: 0,
        wrong_before: false,
        scenarios_run: 0,
        passed_over: Vec::new(),
        skipped: Vec::new(),
    };
    match campaign.door.start() {
        Ok(about) => {
            campaign.about = about;
            let scenarios = choose(&campaign.about);
            campaign.ask_for(&scenarios);
            for scenario in &scenarios {
                if !campaign.goes_on() {
                    break;
                }
                campaign.take(scenario)?;
            }
            campaign.conclude()?;
        }
        Err(broken) => campaign.breaks("hello", 0, &broken, Vec::new()),
    }
    Ok(campaign.results(started.elapsed()))
}

impl Campaign<'_> {
    /// Where only a part is asked for, the other clauses are not.
    fn ask_for(&mut self, scenarios: &[Scenario]) {
        let plan = self.plan;
        if plan.clauses.is_empty() && !plan.scenarios_chosen {
            return;
        }
        for clause in &mut self.clauses {
            let is_chosen = |scenario: &Scenario| scenario.clause == clause.id;
            clause.asked = plan.clauses.iter().any(|id| id == clause.id)
                || plan.scenarios_chosen && scenarios.iter().any(is_chosen);
        }
    }

    fn goes_on(&self) -> bool {
        self.broken.len() < BREAKAGES_MAX && self.silences < SILENCES_MAX && self.door.is_running()
    }

    fn scratch(&mut self) -> io::Result<Scratch> {
        self.next += 1;
        Scratch::new(self.plan.scratch.join(format!("{}", self.next)))
    }

    /// Runs one scenario; the receiver goes on to run the next.
    fn once(&mut self, scenario: &Scenario) -> io::Result<Outcome> {
        let mut scratch = self.scratch()?;
        let outcome = run(self.door, &self.about, scenario, &mut scratch);
        self.fresh = false;
        // What was there before is dropped only now.
        self.last = Some(scratch);
        Ok(outcome)
    }

    /// A receiver that has done nothing.
    fn start(&mut self) -> Result<(), Box<Broken>> {
        self.fresh = true;
        let started = self.door.start();
        // One silence may be the machine's.
        let again = matches!(&started, Err(broken) if matches!(broken.what, Breakage::Silence(_)));
        let started = if again && self.silences == 0 {
            self.door.start()
        } else {
            started
        };
        started.map(|_| ())
    }

    fn take(&mut self, scenario: &Scenario) -> io::Result<()> {
        let was_fresh = self.fresh || !self.door.is_running();
        let before_was_wrong = std::mem::replace(&mut self.wrong_before, false);
        let mut outcome = self.once(scenario)?;
        let mut again = was_fresh;
        if self.is_doubtful(&outcome, was_fresh) {
            if let Err(broken) = self.start() {
                self.breaks(&scenario.name, 0, &broken, Vec::new());
                return Ok(());
            }
            let second = self.once(scenario)?;
            again = !matches!(second, Outcome::Right(_));
            if matches!(outcome, Outcome::Broken(_)) && again {
                self.skipped
                    .push(format!("{}: run again after a silence", scenario.name));
            }
            // After a mistake a receiver may be in any state: then the second run alone counts.
            if again || before_was_wrong || matches!(outcome, Outcome::Broken(_)) {
                outcome = second;
            }
        }
        self.wrong_before = matches!(outcome, Outcome::Wrong(_));
        self.record(scenario, outcome, again);
        if !self.door.is_running()
            && self.broken.len() < BREAKAGES_MAX
            && self.silences < SILENCES_MAX
            && let Err(broken) = self.start()
        {
            self.breaks("hello", 0, &broken, Vec::new());
        }
        Ok(())
    }

    /// A failure that needs to be seen again: after other scenarios, of a clause that is not known
    /// to fail; or a silence, which may be the machine's.
    fn is_doubtful(&self, outcome: &Outcome, was_fresh: bool) -> bool {
        match outcome {
            Outcome::Wrong(wrong) => !was_fresh && !wrong.difference.clauses.iter().all(|id| self.is_known(id)),
            Outcome::Broken(breaking) => {
                matches!(breaking.broken.what, Breakage::Silence(_)) && self.silences == 0 && self.broken.is_empty()
            }
            Outcome::Right(_) | Outcome::Unsupported(_) | Outcome::NotVisible(_) => false,
        }
    }

    fn is_known(&self, id: &str) -> bool {
        self.found
            .iter()
            .any(|found| found.again && found.clauses.contains(&id))
    }

    fn record(&mut self, scenario: &Scenario, outcome: Outcome, again: bool) {
        match outcome {
            Outcome::Right(complaints) => {
                self.scenarios_run += 1;
                if scenario.origin != Origin::Counterexample
                    && let Some(clause) = self.clause(&scenario.clause)
                {
                    clause.passed += 1;
                }
                for told in complaints {
                    let name = scenario.name.clone();
                    let Some(clause) = self.clause(told.clause) else {
                        continue;
                    };
                    if clause.failed.last() != Some(&name) {
                        clause.failed.push(name);
                    }
                    if clause.failure.is_none() {
                        clause.message = format!("{} (step {} of {})", told.message, told.at, scenario.name);
                        clause.failure = Some(complaint(scenario, &told.message, told.at));
                    }
                }
            }
            Outcome::Wrong(wrong) => {
                self.scenarios_run += 1;
                let clauses = wrong.difference.clauses.clone();
                for id in &clauses {
                    let name = scenario.name.clone();
                    if let Some(clause) = self.clause(id) {
                        clause.failed.push(name);
                    }
                }
                self.found.push(Found {
                    clauses,
                    scenario: scenario.clone(),
                    wrong: *wrong,
                    again,
                });
            }
            Outcome::Unsupported(why) => self.pass_over(scenario, ClauseVerdict::Unsupported, &why),
            Outcome::NotVisible(why) => self.pass_over(scenario, ClauseVerdict::NotVisible, &why),
            Outcome::Broken(breaking) => {
                self.scenarios_run += 1;
                let breaking = *breaking;
                let name = scenario.name.clone();
                self.breaks(&name, breaking.at, &breaking.broken, breaking.transcript);
                let message = format!("{} at step {} of {name}", breaking.broken.what, breaking.at);
                if let Some(clause) = self.clause(&scenario.clause) {
                    clause.failed.push(name);
                    clause.message = message;
                }
            }
        }
    }

    fn pass_over(&mut self, scenario: &Scenario, verdict: ClauseVerdict, why: &str) {
        let line = format!("{}: {why}", scenario.name);
        self.passed_over.push(line.clone());
        if verdict == ClauseVerdict::NotVisible && scenario.origin == Origin::Written {
            self.skipped.push(line);
        }
        let Some(clause) = self.clause(&scenario.clause) else {
            return;
        };
        // A scenario that is unsupported says more than that nothing was seen; a failure says most.
        if clause.verdict == ClauseVerdict::NotVisible && clause.failure.is_none() {
            clause.verdict = verdict;
            clause.message = if verdict == ClauseVerdict::NotVisible {
                hidden_or(clause.id, why)
            } else {
                why.to_owned()
            };
        }
    }

    fn clause(&mut self, id: &str) -> Option<&mut ClauseResult> {
        self.clauses.iter_mut().find(|clause| clause.id == id)
    }

    fn breaks(&mut self, scenario: &str, at: usize, broken: &Broken, transcript: Vec<String>) {
        if matches!(broken.what, Breakage::Silence(_)) {
            self.silences += 1;
        }
        self.broken.push(BrokenResult {
            scenario: scenario.to_owned(),
            at,
            what: broken.to_string(),
            transcript,
        });
    }

    /// The verdict on each clause, and its failure made short.
    fn conclude(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.plan.shrinking;
        let ids: Vec<&'static str> = self.clauses.iter().map(|clause| clause.id).collect();
        for id in ids {
            let shown = self.shown(id);
            if let Some(index) = shown {
                let failure = self.failure(id, index, deadline)?;
                if let Some(clause) = self.clause(id) {
                    clause.message = failure.what.join("; ");
                    clause.failure = Some(failure);
                }
            }
            let lacks = lacking(id, &self.about);
            let Some(clause) = self.clause(id) else { continue };
            clause.verdict = if !clause.failed.is_empty() {
                ClauseVerdict::Fail
            } else if let Some(lacks) = lacks {
                clause.message = lacks;
                ClauseVerdict::Unsupported
            } else if clause.passed > 0 {
                clause.message = String::new();
                ClauseVerdict::Pass
            } else {
                clause.verdict
            };
        }
        self.blocked();
        Ok(())
    }

    /// The failure to show for a clause: the one that is about it, then the shortest.
    fn shown(&self, id: &str) -> Option<usize> {
        let of_clause = self
            .found
            .iter()
            .enumerate()
            .filter(|(_, found)| found.clauses.contains(&id));
        let rank = |(_, found): &(usize, &Found)| {
            (
                !found.again,
                found.scenario.clause != id,
                found.clauses.first() != Some(&id),
                found.scenario.steps.len(),
            )
        };
        of_clause.min_by_key(rank).map(|(index, _)| index)
    }

    fn failure(&mut self, id: &'static str, index: usize, deadline: Instant) -> io::Result<Failure> {
        let (scenario, again) = (self.found[index].scenario.clone(), self.found[index].again);
        let mut best = (scenario.clone(), self.found[index].wrong.clone());
        let mut trouble = None;
        let mut runs = 0;
        if again {
            let shortest = shrink(&scenario, |candidate| {
                if runs >= SHRINKING_RUNS_MAX || Instant::now() >= deadline || trouble.is_some() {
                    return false;
                }
                runs += 1;
                match self.fails_so(candidate, id) {
                    Ok(Some(wrong)) => {
                        best = (candidate.clone(), wrong);
                        true
                    }
                    Ok(None) => false,
                    Err(error) => {
                        trouble = Some(error);
                        false
                    }
                }
            });
            debug_assert_eq!(shortest.steps.len(), best.0.steps.len());
        }
        trouble.map_or(Ok(()), Err)?;
        let (mut shortest, wrong) = best;
        // What comes after the step that failed was never taken.
        shortest.steps.truncate(wrong.at);
        if shortest != scenario {
            shortest.origin = Origin::Shrunk;
            shortest.name = format!("{} (shrunk)", scenario.name);
        }
        id.clone_into(&mut shortest.clause);
        let mut what = wrong.difference.what.clone();
        if !again {
            what.push("seen after other scenarios in the same process, and not again in a fresh one".to_owned());
        }
        Ok(Failure {
            found_by: scenario.name,
            about: scenario.about,
            scenario: shortest,
            at: wrong.at,
            transcript: wrong.transcript,
            what,
            expected: wrong.difference.expected,
            actual: wrong.difference.actual,
            before: wrong.before,
            after: wrong.after,
            command: self.plan.command.clone(),
        })
    }

    /// Whether a scenario breaks this clause in a receiver that has done nothing else.
    fn fails_so(&mut self, scenario: &Scenario, id: &str) -> io::Result<Option<Wrong>> {
        if self.start().is_err() {
            return Ok(None);
        }
        Ok(match self.once(scenario)? {
            Outcome::Wrong(wrong) if wrong.difference.clauses.contains(&id) => Some(*wrong),
            Outcome::Wrong(_)
            | Outcome::Right(_)
            | Outcome::Unsupported(_)
            | Outcome::NotVisible(_)
            | Outcome::Broken(_) => None,
        })
    }

    /// A clause whose every scenario ended early, at another clause's failure, or was not come to
    /// because the adapter broke, was not shown.
    fn blocked(&mut self) {
        for clause in &mut self.clauses {
            if clause.verdict != ClauseVerdict::NotVisible {
                continue;
            }
            if let Some(found) = self.found.iter().find(|found| found.scenario.clause == clause.id) {
                let by = found.clauses.first().copied().unwrap_or_default();
                clause.message = format!("its scenarios ended early, at a failure of {by}");
            } else if !self.broken.is_empty() && clause.message == NO_SCENARIO {
                clause.message = "the adapter broke before a scenario of it had ended".to_owned();
            }
        }
    }

    fn results(self, elapsed: Duration) -> Results {
        debug_assert!(
            self.clauses
                .iter()
                .all(|clause| clause.level == Level::Must || clause.level == Level::Should)
        );
        Results {
            about: self.about,
            profile: self.plan.profile.clone(),
            scenarios_run: self.scenarios_run,
            passed_over: self.passed_over,
            seconds: elapsed.as_secs_f64(),
            seed: self.plan.seed,
            strict: self.plan.strict,
            clauses: self.clauses,
            broken: self.broken,
            baseline: Vec::new(),
            skipped: self.skipped,
        }
    }
}

fn hidden_or(clause: &str, why: &str) -> String {
    let general = hidden("");
    let known = hidden(clause);
    if known == general {
        why.to_owned()
    } else {
        known.to_owned()
    }
}

/// A SHOULD clause that was not kept, without an answer that is wrong.
fn complaint(scenario: &Scenario, message: &str, at: usize) -> Failure {
    let mut shortest = scenario.clone();
    shortest.steps.truncate(at);
    Failure {
        found_by: scenario.name.clone(),
        about: scenario.about.clone(),
        transcript: shortest
            .steps
            .iter()
            .zip(1..)
            .map(|(step, n)| format!("{n:>3}. {step}"))
            .collect(),
        scenario: shortest,
        at,
        what: vec![message.to_owned()],
        expected: String::new(),
        actual: String::new(),
        before: Vec::new(),
        after: Vec::new(),
        command: String::new(),
    }
}

/// What a clause as a whole needs that this receiver does not name.
fn lacking(clause: &str, about: &About) -> Option<String> {
    let features: &[&str] = match clause {
        "SR-IDN-002" => &["multi"],
        "SR-IDN-004" => &["stale"],
        "SR-ABT-001" | "SR-ABT-002" | "SR-ABT-003" | "SR-ABT-004" => &["abort"],
        "SR-REC-001" | "SR-REC-003" | "SR-PUB-003" => &["restart"],
        "SR-REC-002" => &["lock"],
        _ => &[],
    };
    let limits: &[(&str, Option<u64>)] = match clause {
        "SR-ADM-002" => &[
            ("chunk_bytes_max", about.chunk_bytes_max),
            ("snapshot_bytes_max", about.snapshot_bytes_max),
        ],
        "SR-CON-005" => &[("transfers_max", about.transfers_max)],
        _ => &[],
    };
    let feature = features.iter().find(|feature| !about.has(feature));
    let limit = limits.iter().find(|(_, declared)| declared.is_none());
    feature
        .map(|feature| format!("the feature `{feature}` is not named"))
        .or(limit.map(|(limit, _)| format!("the limit `{limit}` is not named")))
}

/// A directory for scratch directories: in memory where there is such a place.
#[must_use]
pub fn scratch_place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let is_writable = tempfile::tempdir_in(memory).is_ok();
    if is_writable {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
