//! `differential` and `executor_faults`: the harness's words beside its oracle.
//!
//! Guarantees: one body for both, the harness's; the first runs the protocol alone on files in memory
//! (and takes bugs around `step`), the second the shipped receiver on real files, where operations
//! fail as the words say (and takes bugs in the storage). Refuses to know: what a word means.

use tempfile::tempdir_in;

use super::{Rig, Target, Watch};
use crate::harness::{self, ANSWERS, Action, Answer, FileBed, MemoryBed, Observer, Word, run_protocol, run_receiver};

/// See the head of this file.
pub(super) const DIFFERENTIAL: Target = Target {
    name: "differential",
    about: "words as calls of the protocol, each answer, report and file beside an oracle that keeps the bytes",
    word_bytes: size_of::<Word>(),
    input_bytes_max: 64 * size_of::<Word>(),
    reaches: &REACHED,
    run: differential,
};

/// See the head of this file.
pub(super) const EXECUTOR_FAULTS: Target = Target {
    name: "executor_faults",
    about: "the same words on the shipped receiver and real files, where the k-th operation fails",
    run: executor_faults,
    ..DIFFERENTIAL
};

/// The harness's, and the end of each input: every database commits.
const REACHED: [&str; ANSWERS.len() + 1] = {
    let mut all = ["healed"; ANSWERS.len() + 1];
    let (answers, _) = all.split_at_mut(ANSWERS.len());
    answers.copy_from_slice(&ANSWERS);
    all
};

impl Observer for Watch {
    fn see(&mut self, name: &str) {
        Self::see(self, name);
    }

    fn tell(&mut self, action: &Action, answer: Option<&Answer>) {
        Self::tell(self, || match answer {
            None => action.to_string(),
            Some(answer) => format!("{action}: {answer:?}"),
        });
    }
}

fn words(input: &[u8]) -> Vec<Word> {
    input.as_chunks().0.to_vec()
}

fn differential(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    told(
        run_protocol(MemoryBed::default(), rig.bugs, &words(input), watch),
        watch,
    )
}

fn executor_faults(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let directory = tempdir_in(&rig.scratch).map_err(|error| format!("no directory to work in: {error}"))?;
    let bed = FileBed::new(directory.path().join("data"));
    told(run_receiver(bed, rig.bugs, &words(input), watch), watch)
}

fn told(ran: Result<(), Box<harness::Failure>>, watch: &mut Watch) -> Result<(), String> {
    watch.see("healed");
    ran.map_err(|failure| failure.what)
}
