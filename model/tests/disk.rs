//! The modelled disk, held against the table of what a power loss may legally leave.
//!
//! Guarantees: for each last operation, exactly the states of the table, under both persistence
//! models, with and without an old snapshot. Refuses to know: the receiver.

use std::collections::BTreeSet;

use snapshot_receiver::executor::{Directory, Storage};
use snapshot_receiver::protocol::{DatabaseId, FailureKind};
use snapshot_receiver_model::disk::{Damage, Disk, Durability, Failing, Handle, Persistence, Then, evidence};

const DATABASE: DatabaseId<u8> = DatabaseId::<u8>::numbered(0);

/// A disk whose directories are durable, with or without an old snapshot.
fn disk(persistence: Persistence, old: bool) -> Disk {
    let mut disk = Disk::new(persistence);
    for directory in [Directory::Data, Directory::Parent] {
        disk.sync_directory(directory).expect("synced");
    }
    if old {
        publish(&mut disk, b"O");
        disk.sync_directory(Directory::Receive).expect("synced");
    }
    disk
}

fn write(disk: &mut Disk, bytes: &'static [u8]) -> Handle {
    let mut handle = disk.create(&DATABASE).expect("created");
    for (offset, byte) in (0u64..).zip(bytes) {
        disk.write_at(&mut handle, offset, &[*byte]).expect("written");
    }
    handle
}

fn publish(disk: &mut Disk, bytes: &'static [u8]) {
    let mut handle = write(disk, bytes);
    disk.sync(&mut handle).expect("synced");
    disk.publish(handle, &evidence(DATABASE, bytes)).expect("renamed");
}

/// What a power loss may leave: partial and snapshot, `-` where there is none.
fn left(disk: &Disk) -> BTreeSet<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "0");
    let shown = |disk: &Disk| {
        let files = disk.files(0);
        let partial = files.partial.as_ref().map_or("-".to_owned(), |file| text(&file.bytes));
        let snapshot = files.snapshot().map_or("-".to_owned(), |file| text(&file.bytes));
        (partial, snapshot)
    };
    // The first is the killed process.
    disk.after_crash().iter().skip(1).map(|disk| shown(&disk)).collect()
}

fn expect(disk: &Disk, states: &[(&str, &str)]) {
    let expected = states
        .iter()
        .map(|(partial, snapshot)| ((*partial).to_owned(), (*snapshot).to_owned()));
    assert_eq!(left(disk), expected.collect());
}

const BOTH: [Persistence; 2] = [Persistence::Ordered, Persistence::Weak];

#[test]
fn a_created_partial_is_there_and_empty_or_not() {
    for persistence in BOTH {
        for (old, snapshot) in [(false, "-"), (true, "O")] {
            let mut disk = disk(persistence, old);
            write(&mut disk, b"");
            expect(&disk, &[("-", snapshot), ("", snapshot)]);
        }
    }
}

#[test]
fn unsynced_appends_leave_any_prefix() {
    for persistence in BOTH {
        let mut disk = disk(persistence, false);
        write(&mut disk, b"ab");
        expect(&disk, &[("-", "-"), ("", "-"), ("a", "-"), ("ab", "-")]);
    }
}

#[test]
fn a_synced_partial_is_full_and_on_a_weak_system_perhaps_nameless() {
    for persistence in BOTH {
        let mut disk = disk(persistence, false);
        let mut handle = write(&mut disk, b"ab");
        disk.sync(&mut handle).expect("synced");
        match persistence {
            Persistence::Ordered => expect(&disk, &[("ab", "-")]),
            Persistence::Weak => expect(&disk, &[("-", "-"), ("ab", "-")]),
        }
    }
}

#[test]
fn a_failed_sync_leaves_any_length_and_a_later_success_proves_nothing() {
    for persistence in BOTH {
        for damage in [Damage::Nothing, Damage::Done] {
            let mut disk = disk(persistence, false);
            let mut handle = write(&mut disk, b"ab");
            let mut failing = Failing {
                disk: &mut disk,
                after: 0,
                damage,
                then: Then::Works,
                kind: FailureKind::Other,
            };
            failing.sync(&mut handle).expect_err("told to fail");
            let visible = disk.files(0).partial.as_ref().expect("there");
            assert_eq!(
                (visible.bytes.as_slice(), visible.durability),
                (b"ab".as_slice(), Durability::Lost)
            );
            disk.sync(&mut handle).expect("the pages are clean");
            assert!(left(&disk).is_superset(&BTreeSet::from([("".into(), "-".into()), ("a".into(), "-".into())])));
        }
    }
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new_one() {
    for (old, snapshot) in [(false, "-"), (true, "O")] {
        let mut ordered = disk(Persistence::Ordered, old);
        publish(&mut ordered, b"ab");
        expect(
            &ordered,
            &[("ab", snapshot), ("-", "ab")].map(|(partial, snapshot)| {
                // An unlinked or renamed partial that comes back is an orphan whose bytes nobody reads.
                (if partial == "ab" { "?" } else { partial }, snapshot)
            }),
        );
        let mut weak = disk(Persistence::Weak, old);
        publish(&mut weak, b"ab");
        expect(&weak, &[("-", snapshot), ("?", snapshot), ("-", "ab"), ("?", "ab")]);
    }
}

#[test]
fn a_rename_without_a_sync_leaves_any_prefix_or_any_mixture() {
    for (persistence, mixtures) in [(Persistence::Ordered, 3), (Persistence::Weak, 1 + 3 + 9)] {
        let mut disk = disk(persistence, true);
        let handle = write(&mut disk, b"ab");
        disk.publish(handle, &evidence(DATABASE, b"ab")).expect("renamed");
        let names: BTreeSet<String> = left(&disk).into_iter().map(|(_, snapshot)| snapshot).collect();
        // The old snapshot, and every state of the new one.
        assert_eq!(names.len(), 1 + mixtures, "{names:?}");
        assert!(names.contains("O") && names.contains("") && names.contains("ab"));
        assert_eq!(
            names.contains("0#"),
            persistence == Persistence::Weak,
            "zero, then stale"
        );
    }
}

#[test]
fn a_synced_directory_leaves_the_snapshot_full() {
    for persistence in BOTH {
        let mut disk = disk(persistence, true);
        publish(&mut disk, b"ab");
        disk.sync_directory(Directory::Receive).expect("synced");
        expect(&disk, &[("-", "ab")]);
    }
}

#[test]
fn a_failed_directory_sync_leaves_what_the_rename_left() {
    for persistence in BOTH {
        let mut disk = disk(persistence, true);
        publish(&mut disk, b"ab");
        let before = left(&disk);
        let mut failing = Failing {
            disk: &mut disk,
            after: 0,
            damage: Damage::Nothing,
            then: Then::Works,
            kind: FailureKind::Other,
        };
        failing.sync_directory(Directory::Receive).expect_err("told to fail");
        assert_eq!(left(&disk), before);
    }
}

#[test]
fn an_unsynced_unlink_may_bring_an_earlier_partial_back() {
    for persistence in BOTH {
        let mut disk = disk(persistence, true);
        write(&mut disk, b"ab");
        disk.remove(&DATABASE).expect("unlinked");
        expect(&disk, &[("-", "O"), ("?", "O")]);
        disk.sync_directory(Directory::Receive).expect("synced");
        expect(&disk, &[("-", "O")]);
    }
}

#[test]
fn an_unsynced_receive_directory_may_be_gone() {
    for persistence in BOTH {
        let mut disk = Disk::new(persistence);
        publish(&mut disk, b"ab");
        disk.sync_directory(Directory::Receive).expect("synced");
        expect(&disk, &[("-", "ab"), ("-", "-")]);
        disk.sync_directory(Directory::Data).expect("synced");
        expect(&disk, &[("-", "ab"), ("-", "-")]);
        disk.sync_directory(Directory::Parent).expect("synced");
        expect(&disk, &[("-", "ab")]);
    }
}

#[test]
fn a_killed_process_leaves_everything_no_more_durable_than_it_was() {
    let mut disk = disk(Persistence::Weak, true);
    publish(&mut disk, b"ab");
    assert_eq!(disk.after_crash().get(0), Some(disk));
}
