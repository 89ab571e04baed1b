//! What is known of a database under test: the reference's state, and what happened to it.
//!
//! Guarantees: a restart forgets what a restart forgets. Refuses to know: files and answers.

use std::collections::BTreeMap;

use snapshot_receiver::protocol::{FinalChunk, Memory, State, Text};

/// One database.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The reference's state.
    pub state: State,
    /// Whether what stands under the partial's name is the attempt's file.
    pub ours: bool,
    /// The final chunk of the last commit before a restart.
    pub forgotten: Option<FinalChunk<Text>>,
    /// What happened, for `blame`.
    pub facts: Facts,
}

impl Known {
    /// Whether a removal that failed is still owed.
    #[must_use]
    pub fn owes(&self) -> bool {
        match &self.state {
            State::AwaitingStart(phase) => phase.memory == Memory::RemovalOwed,
            State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => false,
        }
    }
}

/// What happened to a database, as far as it tells whose fault a difference is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Since its last admitted chunk, an envelope was refused.
    pub refused: bool,
    /// Since its last admitted chunk, something happened to another database.
    pub others: bool,
    /// Since its last admitted chunk, a line came that was no request.
    pub malformed: bool,
    /// An outsider put something under its names.
    pub planted: bool,
    /// The running attempt began while another ran.
    pub restarted: bool,
    /// How the last attempt ended.
    pub ended: Ended,
    /// How many attempts there were since the opening.
    pub attempts: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// None has.
    #[default]
    Never,
    /// By a commit.
    Committed,
    /// By a verdict on its length.
    Length,
    /// By a verdict on its checksum.
    Checksum,
    /// By a failing call.
    Failed,
    /// By an abort.
    Aborted,
    /// With the process.
    Restarted,
}

/// A restart.
pub(super) fn forget(databases: &mut BTreeMap<String, Known>) {
    for known in databases.values_mut() {
        let forgotten = match &known.state {
            State::AwaitingStart(phase) => match &phase.memory {
                Memory::CommittedBy(last) => Some(last.clone()),
                Memory::Nothing | Memory::RemovalOwed => known.forgotten.take(),
            },
            State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => None,
        };
        *known = Known {
            forgotten,
            facts: Facts {
                planted: known.facts.planted,
                ended: Ended::Restarted,
                ..Facts::default()
            },
            ..Known::default()
        };
    }
}

/// An envelope was refused.
pub(super) fn note_refusal(databases: &mut BTreeMap<String, Known>) {
    for known in databases.values_mut() {
        known.facts.refused = true;
    }
}
