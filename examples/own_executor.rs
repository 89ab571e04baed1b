//! The protocol alone, in an executor of your own: here, a store in memory.
//!
//! Guarantees: performs each effect in order, stops at the first that fails and tells `step` so; takes
//! one event to its reply before the next. Refuses to know: what is decided.
//!
//! `cargo run --example own_executor`

use std::collections::HashMap;

use snapshot_receiver::protocol::{
    DatabaseId, Effect, Envelope, Event, Limits, OlderStart, Reply, State, Text, Vacancy, step,
};

#[derive(Default)]
struct Executor {
    states: HashMap<DatabaseId, State>,
    partials: HashMap<DatabaseId, Vec<u8>>,
    snapshots: HashMap<DatabaseId, Vec<u8>>,
}

impl Executor {
    fn handle_chunk(&mut self, envelope: Envelope<Vec<u8>>) -> Result<Reply<Text>, Box<dyn std::error::Error>> {
        let chunk = envelope.into_chunk()?;
        let id = chunk.identity.database.clone();
        let (vacancy, older_start) = (Vacancy::Free, OlderStart::Refused);
        let mut event = Event::ChunkArrived {
            chunk,
            vacancy,
            older_start,
        };
        loop {
            let state = self.states.remove(&id).unwrap_or_default();
            let next = step(&Limits::default(), state, event);
            self.states.insert(id.clone(), next.state);
            for effect in next.effects {
                match effect {
                    Effect::Create => drop(self.partials.insert(id.clone(), Vec::new())),
                    Effect::Write { data, .. } => self.partials.entry(id.clone()).or_default().extend(data),
                    Effect::Publish(verified) => {
                        let bytes = self.partials.remove(&id).unwrap_or_default();
                        self.snapshots.insert(verified.database().clone(), bytes);
                    }
                    Effect::Remove => drop(self.partials.remove(&id)),
                    // Memory has nothing to make durable. Where a call fails: `Event::EffectFailed`.
                    Effect::Sync | Effect::SyncDirectory => {}
                    Effect::Report(progress) => println!("{id}: {progress:?}"),
                    Effect::Reply(reply) => return Ok(reply),
                }
            }
            event = Event::EffectsPerformed;
        }
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut executor = Executor::default();
    let snapshot = b"what the source cluster sent";
    for (index, data) in snapshot.chunks(10).enumerate() {
        let reply = executor.handle_chunk(Envelope {
            source_cluster_id: "prod-us".into(),
            source_database_id: "db_01".into(),
            snapshot_lsn: 42,
            total_bytes: snapshot.len() as u64,
            total_crc32c: crc32c::crc32c(snapshot),
            offset: index as u64 * 10,
            data: data.to_vec(),
            done: (index + 1) * 10 >= snapshot.len(),
        })?;
        println!("{reply:?}");
    }
    let received = executor.snapshots.values().next();
    assert_eq!(received.map(Vec::as_slice), Some(snapshot.as_slice()));
    Ok(())
}
