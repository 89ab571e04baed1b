//! A conversation recorded in production, without its payload, and asked of the reference: would it have
//! answered the same?
//!
//! Guarantees: what is recorded is what `cargo gate replay FILE` reads. Refuses to know: when a record
//! is made.
//!
//! `cargo run -p snapshot-receiver-model --example trace_validation > conversation.jsonl`, and then
//! `cargo gate replay conversation.jsonl`

use snapshot_receiver::{Options, Receiver};
use snapshot_receiver_model::conform::oracle::as_sent;
use snapshot_receiver_model::conform::recorded::{chunk_line, reply_line, validate};
use snapshot_receiver_model::conform::reference::reply;
use snapshot_receiver_model::conform::scenario::{Data, Envelope};
use snapshot_receiver_model::conform::talk::Reply;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let receiver = Receiver::open(directory.path().join("mirror"), Options::default())?;
    let mut record = vec![r#"{"seq":0,"op":"open","data_dir":"mirror"}"#.to_owned()];
    record.push(reply_line(0, &Reply::Opened { orphans_left: None }));
    let snapshot = b"what the source cluster sent";
    // The second chunk comes twice, and the last once more after its commit.
    for (seq, index) in (1..).zip([0, 1, 1, 2, 2]) {
        let (from, to) = (index * 10, (index * 10 + 10).min(snapshot.len()));
        let envelope = Envelope {
            source_cluster_id: "prod-us".to_owned(),
            source_database_id: "db_01".to_owned(),
            snapshot_lsn: 42,
            total_bytes: snapshot.len() as u64,
            total_crc32c: crc32c::crc32c(snapshot),
            offset: from as u64,
            data: Data::Bytes(snapshot[from..to].to_vec()),
            done: to == snapshot.len(),
        };
        let outcome = receiver.handle_chunk(as_sent(&envelope));
        record.push(chunk_line(seq, &envelope));
        record.push(reply_line(seq, &reply(outcome, "db_01")));
    }
    receiver.close()?;
    let conversation = record.join("\n");
    println!("{conversation}");
    let seen = validate(&conversation)?;
    assert_eq!((seen.exchanges, seen.difference), (6, None));
    Ok(())
}
