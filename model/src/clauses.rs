//! The clauses: what the receiver promises, where it is kept, and which tests would fail without.
//!
//! Guarantees: the one source of the clauses; the tables of SPEC.md and the output of `gate spec`
//! are made from it. Refuses to know: how a check works. The rules and seeded bugs of a clause are
//! found by its id.

/// Whether a clause is safety and liveness, or what a user would expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Safety or liveness.
    Must,
    /// What a user would expect.
    Should,
}

impl Level {
    /// The level's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// One promise.
#[derive(Clone, Copy, Debug)]
pub struct Clause {
    /// Its id, which never changes meaning.
    pub id: &'static str,
    /// Its level.
    pub level: Level,
    /// What it says.
    pub text: &'static str,
    /// Where it is kept: `file::function`.
    pub code: &'static [&'static str],
    /// The tests that would fail without it: `file::test`.
    pub tests: &'static [&'static str],
}

const fn must(
    id: &'static str,
    text: &'static str,
    code: &'static [&'static str],
    tests: &'static [&'static str],
) -> Clause {
    let level = Level::Must;
    Clause {
        id,
        level,
        text,
        code,
        tests,
    }
}

const fn should(
    id: &'static str,
    text: &'static str,
    code: &'static [&'static str],
    tests: &'static [&'static str],
) -> Clause {
    let level = Level::Should;
    Clause {
        id,
        level,
        text,
        code,
        tests,
    }
}

/// Random actions beside the oracle, on files in memory and on real ones.
const MEMORY: &str = "tests/properties.rs::files_in_memory_follow_the_oracle_through_everything";
const FILES: &str = "tests/properties.rs::real_files_follow_the_oracle_through_everything";
const TABLE: &str = "tests/table.rs::every_phase_meets_every_event_as_the_specification_says";

/// Every interleaving of small scenarios, on the shipped source of the shell.
const LOOM: &str =
    "tests/interleavings/tests/loom.rs::every_interleaving_is_some_order_of_the_calls_and_each_mistake_is_found";
/// The system calls of the shipped receiver, in order.
const KERNEL: &str = "tests/syscalls.rs::a_commit_is_synced_renamed_and_synced_again_in_the_kernel";

/// Faults on real files: power loss, failing calls, names and places, bounds, scale.
const POWER_LOSS: &str =
    "tests/faults/power_loss.rs::whatever_a_power_loss_leaves_nothing_acknowledged_is_lost_and_nothing_visible_is_torn";
const FAILING_CALL: &str = "tests/faults/failing_calls.rs::any_call_of_a_transfer_may_fail_and_the_next_start_commits";
const BOUNDS: &str = "tests/faults/resources.rs::whatever_is_sent_memory_descriptors_and_transfers_stay_bounded";

/// Every clause, in order.
pub const CLAUSES: &[Clause] = &[
    must(
        "SR-ADM-001",
        "A database id is 1 to 200 bytes of `A-Z a-z 0-9 . _ -` and does not start with a dot; a cluster id is 1 to 200 bytes of UTF-8. Any other id is refused, and no file is created, opened or removed for it. On a file system that folds case, ids that differ only in case share a file: do not use such a pair there.",
        &["src/protocol/id.rs::new", "src/protocol/envelope.rs::into_chunk"],
        &[
            "tests/incidents.rs::a5_no_database_id_leads_out_of_the_receive_directory",
            MEMORY,
            "tests/faults/names.rs::no_name_leads_elsewhere_and_invalid_ones_change_nothing",
        ],
    ),
    must(
        "SR-ADM-002",
        "A chunk longer than `chunk_bytes_max` (default 16 MiB) is refused, and so is a start that declares more than `snapshot_bytes_max` (default 16 TiB).",
        &[
            "src/protocol/step.rs::judge_length",
            "src/protocol/step.rs::judge_start",
        ],
        &[
            "tests/bounds.rs::extreme_numbers_are_refused_in_the_order_of_judgement",
            MEMORY,
        ],
    ),
    must(
        "SR-ADM-003",
        "A chunk that reaches past the declared total, or past `u64`, is refused before a byte of it is written.",
        &["src/protocol/step.rs::judge_end"],
        &[
            "tests/incidents.rs::a2_more_bytes_than_declared_are_refused_before_a_byte_is_written",
            MEMORY,
        ],
    ),
    must(
        "SR-ADM-004",
        "An envelope that is not admitted changes nothing: no state, no file, no other transfer. The next right one is taken as if it had never come. (A verdict on length or checksum, and a storage failure, befall an admitted envelope; they end the attempt.)",
        &["src/protocol/step.rs::chunk_arrived"],
        &[
            "tests/incidents.rs::a3_a_continuation_of_another_snapshot_is_refused_field_by_field",
            TABLE,
            MEMORY,
        ],
    ),
    should(
        "SR-ADM-005",
        "A rejection is typed, names both sides of the mismatch, and says where the source can go on: the next expected offset of its own running transfer, else 0.",
        &[
            "src/protocol/step.rs::chunk_arrived",
            "src/protocol/rejection.rs::expected_and_actual",
        ],
        &[
            "tests/bounds.rs::extreme_numbers_are_refused_in_the_order_of_judgement",
            MEMORY,
        ],
    ),
    must(
        "SR-OFF-001",
        "An admitted envelope at offset 0 starts an attempt and discards what was received before for that database; an empty one does too.",
        &["src/protocol/step.rs::start"],
        &[
            "tests/behaviour.rs::a_restart_at_offset_0_discards_what_was_received",
            MEMORY,
        ],
    ),
    must(
        "SR-OFF-002",
        "An envelope at another offset with no transfer running is refused, with 0 as the expected offset.",
        &["src/protocol/step.rs::judge_where_none_runs"],
        &[
            "tests/incidents.rs::a12_a_failed_write_ends_the_attempt_and_a_start_works_at_once",
            TABLE,
        ],
    ),
    must(
        "SR-OFF-003",
        "A continuation at any offset but the next expected one (a gap, a repetition, an overlap) is refused with both offsets.",
        &["src/protocol/step.rs::judge_where_one_runs"],
        &["tests/behaviour.rs::a_wrong_offset_is_judged_before_an_overrun", TABLE],
    ),
    must(
        "SR-OFF-004",
        "An admitted chunk is written at exactly its offset and moves the expected offset by its length. When `Pending` is answered, the partial exists and is exactly the bytes received: nothing preallocated, nothing beyond.",
        &["src/protocol/step.rs::receive", "src/executor/filesystem.rs::write_at"],
        &["tests/behaviour.rs::the_partial_is_exactly_the_bytes_received", FILES],
    ),
    must(
        "SR-OFF-005",
        "`Pending` carries the next expected offset; `Committed` carries the LSN and the snapshot's path. All bytes without `done` stay pending; an empty `done` chunk at the end completes them.",
        &["src/protocol/step.rs::pending", "src/executor/names.rs::snapshot_path"],
        &[
            "tests/behaviour.rs::all_bytes_without_done_stay_pending_and_an_empty_done_ends_it",
            "tests/behaviour.rs::two_chunks_commit_and_report_following",
        ],
    ),
    must(
        "SR-IDN-001",
        "A continuation whose cluster, LSN, total or checksum is not the running transfer's is refused.",
        &["src/protocol/step.rs::same_identity"],
        &[
            "tests/incidents.rs::a3_a_continuation_of_another_snapshot_is_refused_field_by_field",
            MEMORY,
        ],
    ),
    must(
        "SR-IDN-002",
        "Transfers of different databases do not touch each other: interleaved, each commits its own bytes.",
        &["src/executor/registry.rs::lease", "src/executor/names.rs::partial_name"],
        &[
            "tests/incidents.rs::a4_interleaved_databases_commit_their_own_bytes",
            "tests/async_face.rs::many_tasks_share_it_and_each_database_commits_its_own_bytes",
        ],
    ),
    should(
        "SR-IDN-003",
        "A final chunk at an offset above 0 that comes again after its commit (same identity, offset, length, `done`) is answered `Committed` again and touches no file, until a start is admitted for that database. An abort does not end that; a restart does.",
        &["src/protocol/step.rs::is_repeated"],
        &[
            "tests/incidents.rs::a7_a_final_chunk_sent_again_is_answered_committed_again",
            MEMORY,
        ],
    ),
    must(
        "SR-IDN-004",
        "A start is refused as stale if its LSN is below that of the database's running transfer, or, with none running, below that of its latest commit since the opening, if that came from the same cluster. An equal LSN is admitted. A caller can lift the rule for one start; an abort ends the running transfer; a restart forgets.",
        &[
            "src/protocol/step.rs::judge_start",
            "src/protocol/step.rs::judge_where_none_runs",
        ],
        &[
            "tests/incidents.rs::a6_an_older_snapshot_does_not_replace_a_newer_one_unless_the_caller_says_so",
            MEMORY,
        ],
    ),
    must(
        "SR-LEN-001",
        "`done` with fewer bytes than declared is a length mismatch: the attempt ends and its partial is removed, at offset 0 too.",
        &["src/protocol/digest.rs::check"],
        &[
            "tests/incidents.rs::a1_done_with_too_few_bytes_is_a_length_mismatch",
            MEMORY,
        ],
    ),
    must(
        "SR-CRC-001",
        "The CRC32C runs over every admitted byte in order; at rest it is the CRC32C of the partial.",
        &["src/protocol/step.rs::receive", "src/protocol/digest.rs::append"],
        &["tests/behaviour.rs::two_chunks_commit_and_report_following", MEMORY],
    ),
    must(
        "SR-CRC-002",
        "`done` with another checksum than the declared one is a CRC mismatch with both values: the attempt ends, its partial is removed, nothing is published.",
        &["src/protocol/digest.rs::check"],
        &[
            "tests/behaviour.rs::a_wrong_crc_is_told_with_both_values_and_removes_the_partial",
            MEMORY,
        ],
    ),
    must(
        "SR-CRC-003",
        "A snapshot of no bytes has the checksum 0 and commits.",
        &["src/protocol/digest.rs::value"],
        &["tests/behaviour.rs::an_empty_snapshot_with_crc_0_commits"],
    ),
    must(
        "SR-CRC-004",
        "Publishing without a passed check does not compile: the effect carries evidence that only the check constructs and that names what was verified.",
        &["src/protocol/digest.rs::check"],
        &[
            "src/protocol/digest.rs::publish_unchecked",
            "src/protocol/digest.rs::publish_checked",
        ],
    ),
    must(
        "SR-PUB-001",
        "In this order: all data written, file synced, renamed, directory synced; only then `Committed` is answered.",
        &[
            "src/protocol/step.rs::receive",
            "src/protocol/step.rs::effects_performed",
        ],
        &[
            KERNEL,
            "tests/incidents.rs::a14_everything_is_synced_in_order_before_committed_is_answered",
            TABLE,
            "tests/faults/calls.rs::the_executor_does_what_step_asks_for_call_by_call",
            "tests/faults/kernel_calls.rs::the_kernel_is_asked_for_what_the_storage_was_asked_for",
        ],
    ),
    must(
        "SR-PUB-002",
        "At every moment, and in every state that a crash can leave, the snapshot's name is absent or holds one whole verified snapshot.",
        &["src/protocol/step.rs::receive", "src/executor/filesystem.rs::publish"],
        &[
            "tests/incidents.rs::a11_no_write_of_an_aborted_attempt_lands_in_a_later_one",
            FILES,
            POWER_LOSS,
        ],
    ),
    must(
        "SR-PUB-003",
        "After `Committed`, no crash loses that snapshot; only a later verified one whose rename was begun may stand in its place.",
        &[
            "src/protocol/step.rs::effects_performed",
            "src/executor/filesystem.rs::sync_directory",
        ],
        &[
            KERNEL,
            "tests/incidents.rs::a14_everything_is_synced_in_order_before_committed_is_answered",
            POWER_LOSS,
            "tests/faults/kill.rs::a_receiver_killed_at_any_moment_loses_nothing_acknowledged_and_shows_nothing_torn",
        ],
    ),
    must(
        "SR-PUB-004",
        "The bytes that were verified are the bytes that are published: same attempt, same inode.",
        &[
            "src/executor/transfer.rs::perform_all",
            "src/executor/filesystem.rs::publish",
        ],
        &[
            "tests/files.rs::another_file_in_the_partials_place_is_not_published",
            "tests/incidents.rs::a10_a_start_beside_a_final_chunk_never_empties_what_is_committed",
        ],
    ),
    must(
        "SR-PUB-005",
        "Before an opening returns, `recv_snapshots`, the data directory and its parent are synced, whether made now or found. An opening makes at most those two directories; a missing level above refuses it.",
        &[
            "src/executor/recovery.rs::recover",
            "src/executor/filesystem.rs::create_directory",
        ],
        &[
            KERNEL,
            "tests/incidents.rs::a14_everything_is_synced_in_order_before_committed_is_answered",
            "tests/files.rs::an_opening_creates_two_directories_and_none_above",
            POWER_LOSS,
        ],
    ),
    must(
        "SR-ABT-001",
        "An abort ends the attempt that ran when it was called, whether or not its removal works; once it has returned without an error, the partial is gone. It removes that partial, or one whose removal is owed, and nothing else. An abort of all is an abort of each database; an id that is not valid is refused.",
        &[
            "src/protocol/step.rs::abort_requested",
            "src/executor/receiver.rs::abort",
        ],
        &[
            "tests/async_face.rs::calls_are_worked_on_though_the_runtime_has_shut_down",
            "tests/async_face.rs::aborts_end_one_transfer_or_all",
            "tests/files.rs::an_abort_whose_partial_was_replaced_by_a_directory_says_so_until_it_is_gone",
            MEMORY,
        ],
    ),
    must(
        "SR-ABT-002",
        "An abort never removes or damages a snapshot. Beside a commit in flight, one of the two wins whole.",
        &["src/protocol/step.rs::abort_requested"],
        &[
            "tests/incidents.rs::a7_a_final_chunk_sent_again_is_answered_committed_again",
            MEMORY,
        ],
    ),
    must(
        "SR-ABT-003",
        "An abort can be repeated, succeeds where nothing runs and nothing is owed, and works after a failure or a panic.",
        &["src/protocol/step.rs::abort_requested"],
        &[
            "tests/incidents.rs::a13_a_panic_ends_its_attempt_with_an_error_and_a_start_works",
            "tests/files.rs::a_directory_under_a_partials_name_is_a_failed_create_and_owes_nothing",
        ],
    ),
    must(
        "SR-ABT-004",
        "No write of an ended attempt lands in a later attempt's file.",
        &["src/executor/transfer.rs::drive", "src/executor/perform.rs::perform"],
        &[
            "tests/incidents.rs::a11_no_write_of_an_aborted_attempt_lands_in_a_later_one",
            LOOM,
        ],
    ),
    must(
        "SR-ERR-001",
        "A failed create, write, sync, rename or directory sync ends the attempt, removes the partial as far as possible, and is answered with the operation and the kind, a full disk told apart. Once calls succeed again, a start works at once.",
        &["src/protocol/step.rs::effect_failed", "src/executor/storage.rs::from"],
        &[
            "tests/incidents.rs::a12_a_failed_write_ends_the_attempt_and_a_start_works_at_once",
            "tests/incidents.rs::a16_a_failed_rename_ends_the_attempt_and_leaves_no_partial",
            MEMORY,
            FAILING_CALL,
        ],
    ),
    must(
        "SR-ERR-002",
        "A failed sync, or an error of an early write-back, is final for its attempt: never tried again, never followed by `Committed`.",
        &[
            "src/protocol/step.rs::effect_failed",
            "src/executor/filesystem.rs::begin_write_back",
        ],
        &[
            KERNEL,
            "tests/behaviour.rs::a_failed_sync_is_final",
            MEMORY,
            FAILING_CALL,
            "tests/faults/faces.rs::any_call_may_fail_under_the_receivers_own_workers",
            "tests/faults/failing_system_calls.rs::any_system_call_may_fail_and_the_next_start_commits",
        ],
    ),
    must(
        "SR-ERR-003",
        "Short and interrupted writes are completed or told, never taken as done.",
        &["src/executor/filesystem.rs::write_at"],
        &[
            "src/executor/filesystem.rs::short_and_interrupted_writes_are_continued_and_a_stuck_one_is_told",
            FAILING_CALL,
        ],
    ),
    must(
        "SR-ERR-004",
        "A failure after the rename is not `Committed`, though the snapshot may be visible; it is whole.",
        &["src/protocol/step.rs::effect_failed"],
        &["tests/behaviour.rs::a_failed_sync_is_final", FILES, FAILING_CALL],
    ),
    must(
        "SR-ERR-005",
        "A failed removal never hides the first cause, which stays the answer; it is told beside it, stays owed, and is tried again at the next start, abort or opening, not in a loop. An abort whose removal fails, its own or an owed one, says so.",
        &[
            "src/protocol/state.rs::into_reply",
            "src/protocol/step.rs::effect_failed",
        ],
        &[
            "tests/behaviour.rs::a_failed_removal_is_told_beside_the_first_cause_and_stays_owed",
            "tests/behaviour.rs::a_verdict_stands_although_the_removal_fails",
            MEMORY,
            "tests/faults/failing_calls.rs::a_failed_removal_is_told_beside_the_cause_and_tried_again",
        ],
    ),
    must(
        "SR-CON-001",
        "Concurrent calls behave as the pure function would on some order of them, one after the other.",
        &["src/executor/receiver.rs::take", "src/executor/registry.rs::take_place"],
        &[
            "tests/bounds.rs::a_start_beside_one_that_begins_and_ends_at_once_fits_an_order_of_the_two",
            "tests/incidents.rs::a9_two_copies_of_a_chunk_at_once_count_once",
            "tests/async_face.rs::calls_of_one_database_keep_their_order",
            LOOM,
            "tests/interleavings/tests/shuttle.rs::eight_threads_and_two_hundred_calls_are_some_order_of_them",
            "tests/interleavings/tests/shuttle.rs::eight_tasks_and_two_hundred_calls_are_some_order_of_them",
            "tests/soak.rs::every_commit_of_many_tasks_is_what_its_source_sent",
        ],
    ),
    must(
        "SR-CON-002",
        "A dropped call leaves the receiver usable: its chunk took effect whole, or not at all, or ended the attempt as a failure does.",
        &["src/executor/call.rs::run", "src/executor/call.rs::drop"],
        &[
            "tests/async_face.rs::a_call_dropped_after_any_number_of_polls_leaves_the_receiver_usable",
            "tests/stream.rs::a_stream_dropped_after_any_number_of_polls_leaves_the_receiver_usable",
            LOOM,
        ],
    ),
    must(
        "SR-CON-003",
        "No panic disables the receiver. In the progress callback it costs that report and nothing else; anywhere else in a call it ends that attempt with an error, and a start works.",
        &[
            "src/executor/transfer.rs::take_step",
            "src/executor/transfer.rs::perform_all",
            "src/executor/progress.rs::deliver",
        ],
        &[
            "tests/incidents.rs::a13_a_panic_that_panics_again_when_it_is_dropped_ends_its_attempt_too",
            "tests/incidents.rs::a13_a_panic_ends_its_attempt_with_an_error_and_a_start_works",
            "tests/incidents.rs::a13_a_panic_in_the_callback_costs_that_report_and_nothing_else",
        ],
    ),
    should(
        "SR-CON-004",
        "Different databases proceed in parallel: in threads without a bound, in the async face up to `workers_max` (default 16) at once.",
        &["src/executor/workers.rs::see_to_it"],
        &[
            LOOM,
            "tests/async_face.rs::a_slow_database_delays_no_other_while_a_worker_is_free",
            "tests/many.rs::as_many_others_commit_while_one_is_slow_as_there_are_others",
            "tests/many.rs::one_worker_takes_the_databases_in_turn_however_much_one_of_them_has_in_its_queue",
        ],
    ),
    must(
        "SR-CON-005",
        "Running transfers, queued chunks, buffered bytes, remembered commits and open files are bounded: the async face queues `queue_bytes_max` (default 4 MiB) of payload for a database, and a call past that waits and holds its own. Past the bound on transfers a start is refused; only queues make a caller wait. (Where all places are taken and one of those transfers is just beginning, a start waits for that one call before it is judged: see Decisions.) A forgotten commit is exempt from SR-IDN-003 and SR-IDN-004.",
        &[
            "src/executor/registry.rs::take_place",
            "src/executor/registry.rs::forget_commits",
            "src/executor/progress.rs::deliver",
            "src/tokio/mod.rs::turn_for",
        ],
        &[
            "tests/stream.rs::no_more_is_held_than_the_queue_and_one_chunk_and_the_stream_is_read_no_further",
            "tests/many.rs::a_thousand_transfers_run_under_the_usual_limit_of_descriptors_with_few_threads_and_little_memory",
            "tests/bounds.rs::a_running_transfer_does_not_push_a_remembered_commit_out",
            "src/executor/progress.rs::reports_that_wait_are_bounded_and_the_newest_is_kept",
            "tests/bounds.rs::transfers_are_bounded_and_a_restart_is_never_one_too_many",
            "tests/bounds.rs::remembered_commits_are_bounded_and_the_longest_past_is_forgotten_first",
            MEMORY,
            BOUNDS,
        ],
    ),
    must(
        "SR-CON-006",
        "A transfer that nobody continues for a configured time (default 15 minutes) is ended, as an abort would, by an event that the shell sends: the pure function has no clock.",
        &["src/protocol/step.rs::idle_expired", "src/executor/receiver.rs::expire"],
        &[
            "tests/async_face.rs::a_chunk_that_waits_for_a_worker_keeps_its_transfer_from_being_idle",
            "tests/bounds.rs::an_idle_transfer_is_ended_and_a_busy_one_is_not",
            "tests/bounds.rs::the_receiver_ends_idle_transfers_by_itself",
            BOUNDS,
        ],
    ),
    must(
        "SR-REC-001",
        "An opening removes, once it has the lock, its orphan partials: regular files and symbolic links named `<valid id>.partial` in `recv_snapshots`. Nothing else is removed, a snapshot never; a special file of that name is left.",
        &[
            "src/executor/recovery.rs::recover",
            "src/executor/names.rs::database_of_partial",
        ],
        &[
            "tests/files.rs::an_opening_removes_its_orphans_and_nothing_else",
            "tests/incidents.rs::a15_an_orphan_partial_is_gone_after_an_opening",
            "tests/faults/scale.rs::an_opening_among_a_hundred_thousand_files_touches_its_orphans_alone",
        ],
    ),
    must(
        "SR-REC-002",
        "A second receiver on the same directory, in this process or another, is refused while the first lives.",
        &["src/executor/filesystem.rs::open"],
        &[
            "tests/files.rs::a_second_receiver_is_refused_while_the_first_lives",
            "tests/files.rs::a_second_process_is_refused",
            "tests/faults/hostile.rs::a_second_receiver_is_refused_by_any_path_and_touches_nothing",
        ],
    ),
    must(
        "SR-REC-003",
        "An orphan that cannot be removed, or a directory of such a name, is reported, and stops neither the removal of the others nor the opening.",
        &[
            "src/executor/recovery.rs::recover",
            "src/executor/receiver.rs::orphans_left",
        ],
        &[
            "tests/files.rs::an_opening_removes_its_orphans_and_nothing_else",
            "tests/files.rs::an_orphan_that_cannot_be_removed_is_reported_and_owed",
            "tests/faults/failing_calls.rs::any_call_of_an_opening_may_fail_and_the_next_opening_works",
        ],
    ),
    must(
        "SR-REC-004",
        "The lock is held until the last operation of the last call, dropped calls included, has ended. Closing ends running transfers as an abort does.",
        &["src/executor/registry.rs::close", "src/executor/receiver.rs::close"],
        &[
            "tests/bounds.rs::an_abort_beside_a_closing_returns_when_the_transfer_has_ended",
            "tests/async_face.rs::closing_waits_for_what_has_begun_and_for_no_future_that_nobody_polls",
            "tests/files.rs::closing_ends_transfers_frees_the_directory_and_refuses_what_comes_later",
        ],
    ),
    must(
        "SR-PRG-001",
        "`Bootstrapping` is reported after each chunk with which at least 1 MiB has arrived since the attempt's last report, or its start; the count then begins at 0. At most one a chunk; within an attempt the bytes done strictly increase and never pass the total. The final chunk has none: `Following` says more. (Past 1,024 reports that wait for a slow callback, a newer one takes the place of the one before.)",
        &["src/protocol/step.rs::pending"],
        &[
            "tests/behaviour.rs::progress_is_reported_at_every_mebibyte_and_never_runs_backwards",
            MEMORY,
        ],
    ),
    must(
        "SR-PRG-002",
        "`Following` is reported once per commit, after it is durable.",
        &["src/protocol/step.rs::committed"],
        &[
            "tests/behaviour.rs::two_chunks_commit_and_report_following",
            TABLE,
            MEMORY,
        ],
    ),
    must(
        "SR-PRG-003",
        "Reports of a database are delivered in order, one at a time, with no lock held: the callback may call the receiver. Delivery is no part of the step.",
        &["src/executor/progress.rs::deliver"],
        &[
            "tests/bounds.rs::reports_of_a_database_are_delivered_one_at_a_time_and_in_order",
            "tests/bounds.rs::the_callback_may_call_the_receiver_and_reports_stay_in_order",
            "tests/async_face.rs::the_callback_may_block_on_the_receiver",
        ],
    ),
    must(
        "SR-SEC-001",
        "No envelope makes the receiver touch a path outside `recv_snapshots`.",
        &["src/executor/names.rs::partial_name", "src/protocol/id.rs::new"],
        &[
            "tests/incidents.rs::a5_no_database_id_leads_out_of_the_receive_directory",
            FILES,
            "tests/faults/names.rs::no_name_leads_elsewhere_and_invalid_ones_change_nothing",
            "tests/faults/names.rs::whatever_the_envelope_only_its_own_database_changes",
        ],
    ),
    must(
        "SR-SEC-002",
        "The partial is always a newly created inode: whatever else has its name is unlinked at a start, never opened, followed or truncated; a directory there is a failed create. A rename may replace a link in a snapshot's place, never write through it. A link in the place of `recv_snapshots` refuses the opening. (The lock is on that directory itself: there is no lock file to plant.)",
        &[
            "src/executor/filesystem.rs::create",
            "src/executor/filesystem.rs::open_receive_directory",
        ],
        &[
            "tests/files.rs::a_one_chunk_snapshot_with_a_wrong_crc_leaves_nothing_under_the_name_and_owes_nothing",
            KERNEL,
            "tests/incidents.rs::a8_a_link_under_the_partials_name_is_replaced_and_not_followed",
            "tests/files.rs::whatever_file_stands_under_a_partials_name_is_replaced",
            "tests/files.rs::a_link_in_a_snapshots_place_is_replaced_and_a_directory_is_a_failed_publish",
            "tests/files.rs::a_link_in_the_place_of_the_receive_directory_is_refused",
            "tests/faults/hostile.rs::whatever_stands_in_a_files_place_is_replaced_or_refused_and_never_followed",
            "tests/faults/hostile.rs::whatever_stands_in_the_receive_directorys_place_refuses_the_opening",
            "tests/faults/hostile.rs::whatever_stands_under_the_name_of_a_lock_is_nobodys_lock_and_left_alone",
        ],
    ),
    must(
        "SR-SEC-003",
        "No input, whatever its bytes, panics the decoder or the receiver, or makes it allocate by a number that it merely declares.",
        &["src/wire.rs::decode"],
        &[
            "tests/wire.rs::no_bytes_panic_the_decoder",
            "tests/wire.rs::a_declared_number_allocates_nothing",
            MEMORY,
        ],
    ),
    should(
        "SR-SEC-004",
        "Before the rename, the name is compared with the open file by device and inode; another file there is a failed publish. Before a create and before the rename, `recv_snapshots` is compared with the directory held open; another there is a failed operation. An outsider who races in between is out of scope.",
        &[
            "src/executor/filesystem.rs::check_directory",
            "src/executor/filesystem.rs::publish",
        ],
        &[
            "tests/files.rs::a_replaced_receive_directory_fails_the_create_and_the_publish",
            "tests/files.rs::another_file_in_the_partials_place_is_not_published",
            "tests/faults/hostile.rs::a_directory_or_partial_that_was_replaced_is_a_failed_operation_and_left_alone",
        ],
    ),
    must(
        "SR-LIV-001",
        "From every reachable state, once calls fail no more, nothing foreign blocks the name, idle transfers have expired and no other source sends for that database: a source with an admissible start that sends from 0, in order, and follows the replies commits in a bounded number of steps.",
        &["src/protocol/step.rs::step"],
        &[MEMORY, FILES],
    ),
];
