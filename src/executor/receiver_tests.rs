//! What the receiver promises and no call through its public face shows by itself.
//!
//! Guarantees: each was found by a mutant that survived all else. Refuses to know: the protocol.

use super::*;

/// Mutants: an expiry that is dropped goes on, or is not waited for.
#[test]
fn the_thread_that_expires_has_ended_when_its_receiver_is_gone() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a directory");
        let receiver = Receiver::open(dir.path(), Options::default()).expect("opens");
        let is_gone = receiver._expiry.as_ref().expect("by default").is_gone();
        drop(receiver);
        assert!(is_gone());
    }
}

fn start<B>(data: B) -> Envelope<B> {
    Envelope {
        source_cluster_id: "eu".into(),
        source_database_id: "db".into(),
        snapshot_lsn: 1,
        total_bytes: 2,
        total_crc32c: 0,
        offset: 0,
        data,
        done: false,
    }
}

/// Mutant: `state` tells of a database never seen.
#[test]
fn the_state_told_is_that_of_the_database() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::open(dir.path(), Options::default()).expect("opens");
    receiver.handle_chunk(start(b"a")).expect("taken");
    let is_running = |id: &str| {
        let database = DatabaseId::new(id).expect("valid");
        receiver.state(&database).expect("open").is_running()
    };
    assert!(is_running("db") && !is_running("other"));
}

/// Mutant: what a payload's own code said when it panicked is lost.
#[test]
fn a_payload_that_panics_is_told_with_its_words() {
    struct Panicking;
    impl AsRef<[u8]> for Panicking {
        fn as_ref(&self) -> &[u8] {
            panic!("no bytes today")
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::open(dir.path(), Options::default()).expect("opens");
    let error = receiver.handle_chunk(start(Panicking)).expect_err("it panics");
    assert!(error.to_string().contains("no bytes today"), "{error}");
}

/// Mutants: a report always waits, or wherever there is a callback.
#[cfg(feature = "tokio")]
#[test]
fn a_call_has_reports_where_one_was_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::default().report_bytes(1).on_progress(|_, _| {});
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let chunk = check_ids(start(b"a")).expect("valid ids");
    let lease = receiver.lease(&chunk.identity.database).expect("open");
    assert!(!lease.has_reports());
    lease.handle_chunk(chunk, OlderStart::Refused).expect("taken");
    assert!(lease.has_reports());
    lease.deliver_reports();
    assert!(!lease.has_reports());
}

/// Mutant: after a look at a transfer that is not idle yet, the next look comes too late.
#[test]
fn the_next_look_comes_when_the_timeout_of_a_transfer_is_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::open(dir.path(), Options::default()).expect("opens");
    receiver.handle_chunk(start(b"a")).expect("taken");
    let timeout = Duration::from_secs(3600);
    let round = expire_idle(&receiver.shared, timeout);
    assert_eq!(round.expired, 0);
    assert!(round.next_in < timeout, "{:?}", round.next_in);
}
