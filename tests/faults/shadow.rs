//! The model beside the executor: `step` is asked what has to be done for each event, and the log says
//! what was done.
//!
//! Guarantees: each call that was made is the next one that `step` asked for, and each one asked for was
//! made, up to the first that fails, whose failure is the next event; nothing else is done, and nothing
//! after the reply. Writes may come in parts. Refuses to know: how the executor does it.

use std::collections::{BTreeMap, VecDeque};

use snapshot_receiver::DatabaseId;
use snapshot_receiver::executor::Directory;
use snapshot_receiver::protocol::{Effect, Event, Failure, Limits, Operation, Reply, State, Text, Vacancy, step};

use crate::log::{Call, Entry, Outcome};

/// The state of each database as the pure function has it.
#[derive(Debug)]
pub(crate) struct Shadow {
    states: BTreeMap<DatabaseId, State>,
    limits: Limits,
    transfers_max: usize,
}

/// What was done, still to be explained.
pub(crate) type Done = VecDeque<(Call, Outcome)>;

/// What happened, without a payload of its own.
pub(crate) type Told = Event<Text, Vec<u8>>;

impl Shadow {
    pub(crate) fn new(limits: Limits, transfers_max: usize) -> Self {
        let states = BTreeMap::new();
        Self {
            states,
            limits,
            transfers_max,
        }
    }

    /// The receiver is gone, and all that it knew.
    pub(crate) fn forget(&mut self) {
        self.states.clear();
    }

    /// An opening left an orphan.
    pub(crate) fn owe(&mut self, database: DatabaseId) {
        self.states.insert(database, State::with_removal_owed());
    }

    pub(crate) fn databases(&self) -> Vec<DatabaseId> {
        self.states.keys().cloned().collect()
    }

    pub(crate) fn is_running(&self, database: &DatabaseId) -> bool {
        self.states.get(database).is_some_and(State::is_running)
    }

    pub(crate) fn vacancy(&self) -> Vacancy {
        let running = self.states.values().filter(|state| state.is_running()).count();
        if running < self.transfers_max {
            return Vacancy::Free;
        }
        let transfers_max = self.transfers_max as u64;
        Vacancy::Exhausted { transfers_max }
    }

    /// Takes one event; what was done for it is taken off the front. `None` where the process was
    /// killed on the way.
    pub(crate) fn take(
        &mut self,
        database: &DatabaseId,
        event: Told,
        done: &mut Done,
        is_killed: bool,
    ) -> Result<Option<Reply<Text>>, String> {
        let mut event = event;
        // The event, a failure of its effects, a failure of the removal that follows.
        for _ in 0..3 {
            let state = self.states.remove(database).unwrap_or_default();
            let next = step(&self.limits, state, event);
            self.states.insert(database.clone(), next.state);
            event = Event::EffectsPerformed;
            for effect in next.effects {
                let (call, operation) = match asked(effect, database) {
                    Asked::Call(call, operation) => (call, operation),
                    Asked::Report => continue,
                    Asked::Reply(reply) => return Ok(Some(reply)),
                };
                match explained(&call, done) {
                    None if is_killed && done.is_empty() => return Ok(None),
                    None => {
                        return Err(format!(
                            "step asks for {call:?}, and what was done is {:?}",
                            done.front()
                        ));
                    }
                    Some(Outcome::Done) => {}
                    Some(Outcome::Failed { kind, .. }) => {
                        event = Event::EffectFailed(Failure { operation, kind });
                        break;
                    }
                }
            }
        }
        Err("no reply after three steps".to_owned())
    }
}

enum Asked {
    Call(Call, Operation),
    Report,
    Reply(Reply<Text>),
}

fn asked(effect: Effect<Text, Vec<u8>>, database: &DatabaseId) -> Asked {
    let database = database.clone();
    match effect {
        Effect::Create => Asked::Call(Call::Create(database), Operation::Create),
        Effect::Write { offset, data } => {
            let call = Call::Write { database, offset, data };
            Asked::Call(call, Operation::Write)
        }
        Effect::Sync => Asked::Call(Call::Sync(database), Operation::Sync),
        Effect::Publish(_) => Asked::Call(Call::Publish(database), Operation::Publish),
        Effect::SyncDirectory => Asked::Call(Call::SyncDirectory(Directory::Receive), Operation::SyncDirectory),
        Effect::Remove => Asked::Call(Call::Remove(database), Operation::Remove),
        Effect::Report(_) => Asked::Report,
        Effect::Reply(reply) => Asked::Reply(reply),
    }
}

/// Takes the call off what was done; of a write, the parts that make it up.
fn explained(call: &Call, done: &mut Done) -> Option<Outcome> {
    let Call::Write { database, offset, data } = call else {
        let outcome = done.front().filter(|(made, _)| made == call)?.1;
        done.pop_front();
        return Some(outcome);
    };
    let mut written = 0;
    while written < data.len() {
        let (made, outcome) = done.front()?;
        let Call::Write {
            database: of,
            offset: at,
            data: part,
        } = made
        else {
            return None;
        };
        let is_next = of == database && *at == offset + written as u64 && data[written..].starts_with(part);
        if !is_next || part.is_empty() {
            return None;
        }
        written += part.len();
        let outcome = *outcome;
        done.pop_front();
        if outcome != Outcome::Done {
            return Some(outcome);
        }
    }
    Some(Outcome::Done)
}

/// The calls of a log.
pub(crate) fn calls(entries: &[Entry]) -> Done {
    let calls = entries.iter().filter_map(|entry| match entry {
        Entry::Call(call, outcome) => Some((call.clone(), *outcome)),
        Entry::Sending(..) | Entry::Committed(..) | Entry::Opened => None,
    });
    calls.collect()
}
