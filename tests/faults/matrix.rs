//! Every seeded bug of the executor, caught by the check that claims it.
//!
//! Guarantees: the bugs are those of the model's table for this layer, no more and no fewer; each is
//! caught by a check that passes on the shipped receiver, through a clause that the table says it
//! breaks; the results are written for `cargo gate bugs`. Refuses to know: how a check works.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use snapshot_receiver_model::bugs::layers::{LAYERS, REAL_FILES};

use crate::flaw::Flaw;
use crate::place::skipped;
use crate::power_loss::Tried;
use crate::subject::{Checked, Violation};
use crate::{calls, failing_calls, hostile, kill, names, power_loss, resources, scale};

/// A check, and the test that runs it on the shipped receiver.
type Check = (fn(Option<Flaw>) -> Checked, &'static str);

const POWER_LOSS: Check = (
    |flaw| power_loss::check(flaw, 0, &Tried::default()),
    "power_loss::whatever_a_power_loss_leaves_nothing_acknowledged_is_lost_and_nothing_visible_is_torn",
);
const TRANSFER: Check = (
    failing_calls::check_transfer,
    "failing_calls::any_call_of_a_transfer_may_fail_and_the_next_start_commits",
);
const REMOVAL: Check = (
    failing_calls::check_removal,
    "failing_calls::a_failed_removal_is_told_beside_the_cause_and_tried_again",
);
const NAMES: Check = (
    names::check_names,
    "names::no_name_leads_elsewhere_and_invalid_ones_change_nothing",
);
const PLACES: Check = (
    hostile::check_places,
    "hostile::whatever_stands_in_a_files_place_is_replaced_or_refused_and_never_followed",
);
const RECEIVE_DIRECTORY: Check = (
    hostile::check_receive_directory,
    "hostile::whatever_stands_in_the_receive_directorys_place_refuses_the_opening",
);
const REPLACED: Check = (
    hostile::check_replaced,
    "hostile::a_directory_or_partial_that_was_replaced_is_a_failed_operation_and_left_alone",
);
const LOCK: Check = (
    hostile::check_lock,
    "hostile::a_second_receiver_is_refused_by_any_path_and_touches_nothing",
);
const BOUNDS: Check = (
    resources::check,
    "resources::whatever_is_sent_memory_descriptors_and_transfers_stay_bounded",
);
const SCALE: Check = (
    |flaw| scale::check(flaw, 1_000),
    "scale::an_opening_among_a_hundred_thousand_files_touches_its_orphans_alone",
);
const CALLS: Check = (
    |flaw| calls::check(flaw, 20),
    "calls::the_executor_does_what_step_asks_for_call_by_call",
);
const KILL: Check = (
    |flaw| kill::check(flaw, 20),
    "kill::a_receiver_killed_at_any_moment_loses_nothing_acknowledged_and_shows_nothing_torn",
);

/// The check that has to catch it.
fn check_of(flaw: Flaw) -> Check {
    match flaw {
        Flaw::SyncSkipped
        | Flaw::SyncBeforeLastWrite
        | Flaw::PublishBeforeSync
        | Flaw::DirectorySyncSkipped
        | Flaw::OldSnapshotRemovedFirst
        | Flaw::PublishPostponed
        | Flaw::RecoverySkipsReceiveSync
        | Flaw::RecoverySkipsDataSync
        | Flaw::RecoverySkipsParentSync => POWER_LOSS,
        Flaw::WriteFailureIgnored
        | Flaw::ShortWriteTaken
        | Flaw::SyncFailureIgnored
        | Flaw::SyncRetried
        | Flaw::DirectorySyncFailureIgnored
        | Flaw::DirectorySyncRetried
        | Flaw::RemovalSkipped
        | Flaw::FullDiskNotToldApart
        | Flaw::DescriptorKept => TRANSFER,
        Flaw::RemovalFailureIgnored => REMOVAL,
        Flaw::IdJoinedIntoPath | Flaw::IdMadeValid => NAMES,
        Flaw::LinkFollowed | Flaw::LeftoverOpened | Flaw::PublishedThroughLink => PLACES,
        Flaw::ReceiveLinkFollowed => RECEIVE_DIRECTORY,
        Flaw::InodeNotCompared | Flaw::DirectoryNotCompared => REPLACED,
        Flaw::LockSkipped | Flaw::SweptBeforeLock => LOCK,
        Flaw::RecoverySweepsForeign | Flaw::RecoveryDeletesSnapshot | Flaw::RecoveryStopsAtOrphan => SCALE,
        Flaw::DirectorySyncBeforePublish => CALLS,
        Flaw::RecoveryKeepsOrphans => KILL,
        Flaw::PayloadKept | Flaw::PlacesUnbounded | Flaw::ExpiryIgnored => BOUNDS,
    }
}

#[test]
fn every_seeded_bug_of_the_executor_is_caught_by_a_check_of_a_clause_that_it_breaks() {
    let mut seeded: Vec<String> = Flaw::ALL.map(Flaw::name).to_vec();
    let mut claimed: Vec<String> = REAL_FILES.iter().map(|claim| claim.name.to_owned()).collect();
    seeded.sort();
    claimed.sort();
    assert_eq!(seeded, claimed, "each bug has its claim");

    let mut rows = Vec::new();
    let mut survived = Vec::new();
    for claim in REAL_FILES {
        let flaw = Flaw::ALL.into_iter().find(|flaw| flaw.name() == claim.name);
        let (check, test) = check_of(flaw.expect("each claim has its bug"));
        let began = Instant::now();
        let caught = check(flaw);
        let seconds = began.elapsed().as_secs_f64();
        let caught_by = match &caught {
            Err(Violation { clause, what }) if claim.clauses.contains(clause) => {
                let what: String = what.chars().take(160).collect();
                println!(
                    "{:<28} {clause} {seconds:>6.2} s  {}",
                    claim.name,
                    what.replace('\n', " ")
                );
                vec![format!("{clause}: tests/faults {test}")]
            }
            other => {
                survived.push(format!("{}: {other:?}", claim.name));
                Vec::new()
            }
        };
        rows.push(json!({
            "id": claim.name,
            "about": claim.about,
            "clauses": claim.clauses,
            "incident": claim.incidents.first(),
            "caught_by": caught_by,
            "steps": null,
            "seconds": seconds,
        }));
    }
    write(&json!({ "bugs": rows }).to_string());
    assert!(survived.is_empty(), "{survived:#?}");
}

/// Writes the results where `cargo gate bugs` looks for them.
fn write(results: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gate-layers");
    let layer = LAYERS.iter().find(|layer| std::ptr::eq(layer.claims, REAL_FILES));
    let path = directory.join(format!("{}.json", layer.expect("it is one of the layers").name));
    let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, results));
    if let Err(error) = written {
        skipped(
            "the results for `cargo gate bugs`",
            &format!("{}: {error}", path.display()),
        );
    }
}
