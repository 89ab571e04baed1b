//! Fuzz targets: what is done with a fuzzer's bytes, and what must hold of it.
//!
//! Guarantees: every target is one function that stable code calls as well; the same bytes always do
//! the same; nothing is switched off under fuzzing. Refuses to know: which engine draws the bytes
//! (libFuzzer, the project's own small engine, a regression file).
//!
//! | file | what it holds |
//! |---|---|
//! | `decode` | `decode_envelope`: bytes as a frame |
//! | `steps` | `step_sequence`: words as calls of the protocol, every rule after every step |
//! | `beside_oracle` | `differential` and `executor_faults`: the harness and its oracle, on memory and on real files |
//! | `worlds` | `world`: bytes choose what happens next in a modelled world |
//! | `paths` | `paths`: ids, and files that somebody planted |
//! | `traces`, `kit` | `trace`: the parsers of traces and of the kit's scenarios and replies, and replay |
//! | `planted` | the bugs that each target must find |
//! | `engine` | a small engine for stable: mutations, minimising, seeds |
//! | `record` | an input as a readable trace that `cargo gate replay` takes |

mod beside_oracle;
mod decode;
pub mod engine;
mod kit;
mod paths;
pub mod planted;
pub mod record;
mod steps;
mod traces;
mod worlds;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::bugs::Bugs;
use planted::{Own, Planted};

/// What a run is told besides its bytes.
#[derive(Debug)]
pub struct Rig {
    /// Bugs of the model's table, seeded around `step` or the storage.
    pub bugs: Bugs,
    /// A bug of a target's own.
    pub own: Option<Own>,
    /// The planted bug that either of them is.
    pub planted: Option<&'static Planted>,
    /// Bytes allocated so far by this process; 0 for ever where nobody counts.
    pub allocated: fn() -> usize,
    /// Where directories for real files are made: memory-backed, where the machine has that.
    pub scratch: PathBuf,
    steps: OnceCell<steps::Bench>,
    worlds: OnceCell<worlds::Bench>,
}

/// Where nobody counts what is allocated.
#[must_use]
pub fn nobody_counts() -> usize {
    0
}

impl Default for Rig {
    fn default() -> Self {
        let shared_memory = PathBuf::from("/dev/shm");
        Self {
            bugs: Bugs::none(),
            own: None,
            planted: None,
            allocated: nobody_counts,
            scratch: if shared_memory.is_dir() {
                shared_memory
            } else {
                std::env::temp_dir()
            },
            steps: OnceCell::new(),
            worlds: OnceCell::new(),
        }
    }
}

impl Rig {
    /// The same, where somebody counts the bytes allocated so far by this process.
    #[must_use]
    pub fn counting(mut self, allocated: fn() -> usize) -> Self {
        self.allocated = allocated;
        self
    }

    /// A rig with any bugs of the model's table.
    #[must_use]
    pub fn with_bugs(bugs: Bugs) -> Self {
        Self {
            bugs,
            ..Self::default()
        }
    }

    /// A rig with one planted bug.
    #[must_use]
    pub fn with(bug: &'static Planted) -> Self {
        Self {
            bugs: bug.bugs(),
            own: bug.own(),
            planted: Some(bug),
            ..Self::default()
        }
    }
}

/// Who watches a run: nobody, for speed, or somebody who wants to know what was reached, or what
/// happened.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was reached, by name, where that is wanted.
    pub seen: Option<BTreeSet<String>>,
    /// What happened, a line a step, where that is wanted.
    pub lines: Option<Vec<String>>,
}

impl Watch {
    /// A watch that wants both.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            seen: Some(BTreeSet::new()),
            lines: Some(Vec::new()),
        }
    }

    fn wants(&self) -> bool {
        self.seen.is_some() || self.lines.is_some()
    }

    fn see(&mut self, name: impl AsRef<str> + Into<String>) {
        if let Some(seen) = &mut self.seen
            && !seen.contains(name.as_ref())
        {
            seen.insert(name.into());
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }
}

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of its binary, of its directories of seeds and regressions, of its column.
    pub name: &'static str,
    /// What it tries, in a phrase.
    pub about: &'static str,
    /// Bytes that belong together: the small engine inserts, copies and drops them whole.
    pub word_bytes: usize,
    /// Longest input, in bytes; what is past it is not read.
    pub input_bytes_max: usize,
    /// What its seeds have to reach: a generator gone stale reaches less.
    pub reaches: &'static [&'static str],
    run: fn(&Rig, &[u8], &mut Watch) -> Result<(), String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    decode::TARGET,
    steps::TARGET,
    beside_oracle::DIFFERENTIAL,
    worlds::TARGET,
    beside_oracle::EXECUTOR_FAULTS,
    paths::TARGET,
    traces::TARGET,
];

impl Target {
    /// The target of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs an input. A panic passes through.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn run(&self, rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
        (self.run)(rig, &input[..input.len().min(self.input_bytes_max)], watch)
    }

    /// Runs an input; a panic is a finding like any other.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn find(&self, rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.run(rig, input, watch)));
        ran.unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    }
}

/// The name of the environment variable that plants a bug in a fuzz target's process.
pub const PLANT: &str = "SNAPSHOT_FUZZ_BUG";

thread_local! {
    static RIG: OnceCell<Rig> = const { OnceCell::new() };
}

/// A fuzz target's whole body: runs the input, with the bug that the environment plants.
///
/// # Panics
/// Where something that must hold does not, which is what a fuzzer waits for; and where there is no
/// such target or bug.
pub fn must_hold(target: &str, allocated: fn() -> usize, input: &[u8]) {
    RIG.with(|rig| {
        let rig = rig.get_or_init(|| planted_by_environment(target).counting(allocated));
        let known = Target::named(target).unwrap_or_else(|| panic!("there is no target {target:?}"));
        if let Err(what) = known.run(rig, input, &mut Watch::default())
            && rig.planted.is_none_or(|planted| planted.explains(&what))
        {
            panic!("{target}: {what}");
        }
    });
}

fn planted_by_environment(target: &str) -> Rig {
    match std::env::var(PLANT) {
        Err(_) => Rig::default(),
        Ok(name) => match planted::named(target, &name) {
            Some(bug) => Rig::with(bug),
            None => panic!("{target} has no planted bug {name:?}"),
        },
    }
}
