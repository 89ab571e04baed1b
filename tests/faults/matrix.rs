//! Every seeded bug of the executor, caught by the check that claims it.
//!
//! Guarantees: the bugs are those of the model's table for this layer, no more and no fewer; each is
//! caught by every check that is named for it, which passes on the shipped receiver, through a clause that
//! the table says it breaks; the results are written for `cargo gate bugs`, without a bug that can only be
//! seen where `strace` runs and it does not. Refuses to know: how a check works.

use std::path::Path;
use std::time::Instant;

use snapshot_receiver_model::layers::{FILES, REAL_FILES, write};
use snapshot_receiver_model::report::results::BugResult;

use crate::flaw::Flaw;
use crate::kernel_failures::can_mount;
use crate::place::skipped;
use crate::power_loss::Tried;
use crate::strace::is_possible;
use crate::subject::{Checked, Violation};
use crate::{
    calls, faces, failing_calls, failing_system_calls, hostile, kernel_calls, kernel_failures, kill, names, power_loss,
    resources, scale,
};

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
const LOCK_NAMES: Check = (
    hostile::check_lock_names,
    "hostile::whatever_stands_under_the_name_of_a_lock_is_nobodys_lock_and_left_alone",
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
    |flaw| Ok(calls::check(flaw, 20)?.values().sum()),
    "calls::the_executor_does_what_step_asks_for_call_by_call",
);
const KILL: Check = (
    |flaw| kill::check(flaw, 20),
    "kill::a_receiver_killed_at_any_moment_loses_nothing_acknowledged_and_shows_nothing_torn",
);

const FACES: Check = (faces::check, "faces::any_call_may_fail_under_the_receivers_own_workers");
/// By `strace`.
const KERNEL: Check = (
    kernel_calls::check,
    "kernel_calls::the_kernel_is_asked_for_what_the_storage_was_asked_for",
);
/// By `strace`.
const SYSTEM_CALLS: Check = (
    failing_system_calls::check,
    "failing_system_calls::any_system_call_may_fail_and_the_next_start_commits",
);

const LIMITS: Check = (
    kernel_failures::check_limits,
    "kernel_failures::limits_on_file_size_and_descriptors_are_failures_like_others",
);
/// On a file system that has to be mounted.
const FULL: Check = (
    kernel_failures::check_full,
    "kernel_failures::a_full_file_system_is_told_apart_and_works_again_when_there_is_room",
);

/// What other checks have to catch as well, so that each of them is shown able to fail.
const MORE_CHECKS: [(Flaw, Check); 7] = [
    (Flaw::RemovalSkipped, LIMITS),
    (Flaw::FullDiskNotToldApart, FULL),
    (Flaw::SyncRetried, FACES),
    (Flaw::SyncRetried, SYSTEM_CALLS),
    (Flaw::WriteBackFailureIgnored, FACES),
    (Flaw::DescriptorKept, FACES),
    (Flaw::DirectorySyncFailureIgnored, FACES),
];

fn needs_strace(check: Check) -> bool {
    check.1 == KERNEL.1 || check.1 == SYSTEM_CALLS.1
}

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
        | Flaw::WriteBackFailureIgnored
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
        Flaw::LockFileFollowed => LOCK_NAMES,
        Flaw::InodeNotCompared | Flaw::DirectoryNotCompared => REPLACED,
        Flaw::LockSkipped | Flaw::SweptBeforeLock => LOCK,
        Flaw::RecoverySweepsForeign | Flaw::RecoveryDeletesSnapshot | Flaw::RecoveryStopsAtOrphan => SCALE,
        Flaw::DirectorySyncBeforePublish => CALLS,
        Flaw::FlushForSync => KERNEL,
        Flaw::RecoveryKeepsOrphans => KILL,
        Flaw::PayloadKept | Flaw::TransferBuffered | Flaw::PlacesUnbounded | Flaw::ExpiryIgnored => BOUNDS,
    }
}

/// What was found, in a line.
fn in_short(what: &str) -> String {
    what.replace('\n', " ").chars().take(160).collect()
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
    let can_trace = is_possible("the seeded bugs that only the kernel can tell");
    let can_mount = can_mount("the seeded bugs on a file system of their own");
    for claim in REAL_FILES {
        let flaw = Flaw::ALL.into_iter().find(|flaw| flaw.name() == claim.name);
        let flaw = flaw.expect("each claim has its bug");
        let more = MORE_CHECKS
            .iter()
            .filter(|(of, _)| *of == flaw)
            .map(|(_, check)| *check);
        let checks = [check_of(flaw)].into_iter().chain(more);
        let checks = checks.filter(|check| can_trace || !needs_strace(*check));
        let checks: Vec<Check> = checks.filter(|check| can_mount || check.1 != FULL.1).collect();
        if checks.is_empty() {
            continue;
        }
        let began = Instant::now();
        let mut caught_by = Vec::new();
        for (check, test) in &checks {
            match check(Some(flaw)) {
                Err(Violation { clause, what }) if claim.clauses.contains(&clause) => {
                    let (what, seconds) = (in_short(&what), began.elapsed().as_secs_f64());
                    println!("{:<28} {clause} {seconds:>6.2} s  {what}", claim.name);
                    caught_by.push(format!("{clause}: tests/faults {test}"));
                }
                Err(Violation { clause, what }) => survived.push(format!(
                    "{}, seeded to break {}: {test} says {clause}: {}",
                    claim.name,
                    claim.clauses.join(" "),
                    in_short(&what)
                )),
                Ok(_) => survived.push(format!("{}: {test} passes with it", claim.name)),
            }
        }
        let is_caught = caught_by.len() == checks.len();
        rows.push(BugResult {
            id: claim.name.to_owned(),
            about: claim.about.to_owned(),
            clauses: claim.clauses.iter().map(|clause| (*clause).to_owned()).collect(),
            incidents: claim.incidents.iter().map(|incident| (*incident).to_owned()).collect(),
            // All of the checks, or none.
            caught_by: if is_caught { caught_by } else { Vec::new() },
            seconds: began.elapsed().as_secs_f64(),
            is_caught,
            ..BugResult::default()
        });
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/gate-layers");
    if let Err(error) = write(&directory, FILES.name, &rows, &[]) {
        let what = "the results for `cargo gate bugs`";
        skipped(what, &format!("{}: {error}", directory.display()));
    }
    assert!(
        survived.is_empty(),
        "{} checks do not catch their seeded bug. Where other tests of tests/faults fail too, read those first: \
         the shipped receiver breaks a check by itself.\n{}",
        survived.len(),
        survived.join("\n")
    );
}
