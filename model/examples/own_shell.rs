//! A shell of your own around `protocol::step`, called by several threads: was there an order, one call
//! after the other, that explains every answer (linearizability)?
//!
//! Guarantees: the shell takes one call at a time, under one lock, and is found right; the same shell
//! with the lock let go in between is found wrong. Refuses to know: files; they are in memory.
//!
//! `cargo run -p snapshot-receiver-model --example own_shell`

use std::collections::HashMap;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use snapshot_receiver::executor::{Performed, perform};
use snapshot_receiver::protocol::{DatabaseId, Event, OlderStart, Reply, State, Text, Vacancy, step};
use snapshot_receiver_model::harness::memory::Memory;
use snapshot_receiver_model::harness::sequential::{Call, Calls, Told};
use snapshot_receiver_model::harness::{Answer, LIMITS, Sent};

#[derive(Default)]
struct Shell {
    states: Mutex<HashMap<DatabaseId, State>>,
    files: Memory,
    /// A mistake, to see it found: the state is looked at under one lock and put back under another.
    lets_go: bool,
}

impl Shell {
    fn chunk(&self, sent: &Sent) -> Answer {
        let Ok(chunk) = sent.envelope().into_chunk() else {
            return Answer::Failed;
        };
        let id = chunk.identity.database.clone();
        let lock = || self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = lock();
        let mut state = states.get(&id).cloned().unwrap_or_default();
        if self.lets_go {
            drop(states);
            std::thread::yield_now();
            states = lock();
        }
        let (mut files, mut partial) = (self.files.clone(), Some(id.clone()));
        let (vacancy, older_start) = (Vacancy::Free, OlderStart::Refused);
        let mut event = Event::ChunkArrived {
            chunk,
            vacancy,
            older_start,
        };
        loop {
            let next = step(&LIMITS, state, event);
            state = next.state;
            for effect in next.effects {
                // Memory does not fail; where files do: `Event::EffectFailed`.
                if let Ok(Performed::Reply(reply)) = perform(effect, &mut files, &id, &mut partial) {
                    states.insert(id, state);
                    return answer(&reply);
                }
            }
            event = Event::EffectsPerformed;
        }
    }
}

fn answer(reply: &Reply<Text>) -> Answer {
    match reply {
        Reply::Pending { bytes_done } => Answer::Pending(*bytes_done),
        Reply::Committed { snapshot_lsn } => Answer::Committed(*snapshot_lsn),
        Reply::Rejected {
            rejection,
            resume_offset,
            ..
        } => Answer::Rejected {
            reason: rejection.reason(),
            values: rejection.expected_and_actual(),
            resume: *resume_offset,
        },
        Reply::Failed { .. } | Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn => Answer::Failed,
    }
}

/// Four threads send the four chunks of one snapshot, each all of them, at the same time.
fn race(lets_go: bool) -> Result<usize, Box<dyn std::error::Error>> {
    let shell = Arc::new(Shell {
        lets_go,
        ..Shell::default()
    });
    let (calls, start) = (Arc::new(Calls::default()), Arc::new(Barrier::new(4)));
    let threads: Vec<_> = (1..=4u8)
        .map(|me| {
            let (shell, calls, start) = (Arc::clone(&shell), Arc::clone(&calls), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                for offset in 0..4 {
                    let sent = chunk(offset);
                    calls.begin(me, Call::Chunk(sent.clone()));
                    calls.end(me, Told::Answer(shell.chunk(&sent)));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(calls.check()?.order.len())
}

fn chunk(offset: usize) -> Sent {
    let bytes = b"abcd";
    Sent {
        cluster: "prod".to_owned(),
        database: "db".to_owned(),
        lsn: 42,
        total: bytes.len() as u64,
        crc: crc32c::crc32c(bytes),
        offset: offset as u64,
        data: vec![bytes[offset]],
        done: offset + 1 == bytes.len(),
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    for _ in 0..200 {
        race(false)?;
    }
    println!("200 races of 16 calls: each has an order that explains it");
    let found = (0..2_000).find_map(|_| race(true).err());
    println!("with the lock let go: {}", found.ok_or("a lost update must be found")?);
    Ok(())
}
