//! Mistakes in the shell, each a change of the shipped source.
//!
//! Guarantees: one change per mistake, named for what goes wrong; the clauses that it breaks, and the
//! scenario that has to find it. Refuses to know: how it is found.

/// A seeded mistake.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its name, in modules and reports.
    pub id: &'static str,
    /// The clauses that it breaks.
    pub clauses: &'static [&'static str],
    /// The incident that it retells, where there is one (SPEC.md).
    pub incident: Option<&'static str>,
    /// What goes wrong.
    pub about: &'static str,
    /// The scenario that finds it.
    pub scenario: &'static str,
    /// What the failure says.
    pub says: &'static str,
    /// All of them together are the mistake.
    pub changes: &'static [Change],
}

/// Text in a file of `src`, which has it once, and what stands there instead.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The end of its path.
    pub file: &'static str,
    /// What is there.
    pub from: &'static str,
    /// What comes in its place.
    pub to: &'static str,
}

const RECEIVER: &str = "executor/receiver.rs";
const REGISTRY: &str = "executor/registry.rs";
const WORKERS: &str = "executor/workers.rs";
const CALL: &str = "executor/call.rs";

/// The hand-over of the design that the project starts from: a call takes the transfer out, works on it
/// with nothing locked, and puts it back.
const TAKE_AND_PUT_BACK: &[Change] = &[
    Change {
        file: RECEIVER,
        from: "            let mut held = lock(&self.slot.held);
            // A payload's own code",
        to: "            let taken = Held {
                transfer: {
                    let held = lock(&self.slot.held);
                    Transfer::from(held.transfer.state.clone())
                },
                touched: None,
            };
            let mut held = PutBack::new(&self.slot.held, taken);
            // A payload's own code",
    },
    Change {
        file: RECEIVER,
        from: "/// A storage in use: the closing waits for its end.",
        to: "struct PutBack<'a, P> {
    slot: &'a Mutex<Held<P>>,
    held: Option<Held<P>>,
}

impl<'a, P> PutBack<'a, P> {
    fn new(slot: &'a Mutex<Held<P>>, mut held: Held<P>) -> Self {
        held.transfer.partial = lock(slot).transfer.partial.take();
        Self { slot, held: Some(held) }
    }
}

impl<P> std::ops::Deref for PutBack<'_, P> {
    type Target = Held<P>;
    fn deref(&self) -> &Held<P> {
        self.held.as_ref().expect(\"there until it is dropped\")
    }
}

impl<P> std::ops::DerefMut for PutBack<'_, P> {
    fn deref_mut(&mut self) -> &mut Held<P> {
        self.held.as_mut().expect(\"there until it is dropped\")
    }
}

impl<P> Drop for PutBack<'_, P> {
    fn drop(&mut self) {
        *lock(self.slot) = self.held.take().expect(\"there until it is dropped\");
    }
}

/// A storage in use: the closing waits for its end.",
    },
];

/// Every one of them has to be found.
pub const BUGS: &[Bug] = &[
    Bug {
        id: "put_back_counts_twice",
        clauses: &["SR-CON-001"],
        incident: Some("A9"),
        about: "a call takes the transfer, works with nothing locked and puts it back: two copies of a start count twice",
        scenario: "two_copies_of_a_chunk",
        says: "no order of these calls",
        changes: TAKE_AND_PUT_BACK,
    },
    Bug {
        id: "put_back_empties_a_commit",
        clauses: &["SR-PUB-004"],
        incident: Some("A10"),
        about: "the same hand-over: a start beside the final chunk",
        scenario: "a_start_beside_the_final_chunk",
        says: "no order of these calls",
        changes: TAKE_AND_PUT_BACK,
    },
    Bug {
        id: "put_back_revives_an_aborted_attempt",
        clauses: &["SR-ABT-004"],
        incident: Some("A11"),
        about: "the same hand-over: an abort and a new start beside a write",
        scenario: "an_abort_and_a_start_beside_a_chunk",
        says: "no order of these calls",
        changes: TAKE_AND_PUT_BACK,
    },
    Bug {
        id: "lock_released_before_the_step",
        clauses: &["SR-CON-001"],
        incident: None,
        about: "a call lets the lock go between reading the state and stepping from it",
        scenario: "two_copies_of_a_chunk",
        says: "no order of these calls",
        changes: &[Change {
            file: RECEIVER,
            from: "            let mut held = lock(&self.slot.held);
            // A payload's own code",
            to: "            let mut held = lock(&self.slot.held);
            let state = held.transfer.state.clone();
            drop(held);
            held = lock(&self.slot.held);
            held.transfer.state = state;
            // A payload's own code",
        }],
    },
    Bug {
        id: "abort_does_not_wait",
        clauses: &["SR-ABT-001"],
        incident: None,
        about: "an abort beside a call in flight answers at once",
        scenario: "an_abort_beside_a_chunk",
        says: "no order of these calls",
        changes: &[Change {
            file: RECEIVER,
            from: "        self.take(|_, _| Event::<Text, [u8; 0]>::AbortRequested).map(|_| ())",
            to: "        if self.slot.held.try_lock().is_err() {
            return Ok(());
        }
        self.take(|_, _| Event::<Text, [u8; 0]>::AbortRequested).map(|_| ())",
        }],
    },
    Bug {
        id: "entry_removed_while_in_use",
        clauses: &["SR-CON-001"],
        incident: None,
        about: "the first call that lets a database's entry go removes it, though another has it",
        scenario: "an_abort_beside_a_start",
        says: "no order of these calls",
        changes: &[Change {
            file: REGISTRY,
            from: "if entry.leases == 0 && entry.holding == Holding::default() {",
            to: "if entry.holding == Holding::default() {",
        }],
    },
    Bug {
        id: "place_refused_too_early",
        clauses: &["SR-CON-005"],
        incident: None,
        about: "a start does not wait for one that may end at once, and is refused a place that is free in every order",
        scenario: "starts_for_the_last_place",
        says: "no order of these calls",
        changes: &[Change {
            file: REGISTRY,
            from: "while inner.running >= self.bounds.transfers_max && inner.beginning > 0 {",
            to: "while false {",
        }],
    },
    Bug {
        id: "callback_under_the_lock",
        clauses: &["SR-PRG-003"],
        incident: None,
        about: "reports are delivered while the transfer is locked",
        scenario: "a_callback_that_asks_the_receiver",
        says: "deadlock",
        changes: &[Change {
            file: RECEIVER,
            from: "                Ok(event) => self.drive(&mut call, &mut held, event),",
            to: "                Ok(event) => {
                    let answer = self.drive(&mut call, &mut held, event);
                    self.deliver_reports();
                    answer
                }",
        }],
    },
    Bug {
        id: "reports_delivered_by_two_at_once",
        clauses: &["SR-PRG-003"],
        incident: None,
        about: "a call does not leave its reports to the thread that is delivering",
        scenario: "reports_of_two_calls",
        says: "SR-PRG-003",
        changes: &[Change {
            file: "executor/progress.rs",
            from: "if queue.is_delivered || queue.waiting.is_empty() {",
            to: "if queue.waiting.is_empty() {",
        }],
    },
    Bug {
        id: "close_does_not_wait",
        clauses: &["SR-REC-004"],
        incident: None,
        about: "a closing does not wait for the calls in flight",
        scenario: "a_close_beside_a_chunk",
        says: "SR-REC-004",
        changes: &[Change {
            file: REGISTRY,
            from: "        while inner.calls > 0 {
            inner = wait(&self.ended, inner);
        }
        let storage",
            to: "        let storage",
        }],
    },
    Bug {
        id: "lost_wake_up",
        clauses: &["SR-LIV-001", "SR-CON-002"],
        incident: None,
        about: "a worker sees an empty queue, and only then, under another lock, gives its lane up",
        scenario: "two_tasks",
        says: "deadlock",
        changes: &[Change {
            file: WORKERS,
            from: "        let mut queue = lock(&self.queue);
        let next = queue.jobs.pop_front();
        queue.is_scheduled = next.is_some();
        next",
            to: "        let next = lock(&self.queue).jobs.pop_front();
        lock(&self.queue).is_scheduled = next.is_some();
        next",
        }],
    },
    Bug {
        id: "two_workers_on_one_lane",
        clauses: &["SR-CON-001"],
        incident: None,
        about: "each submission makes its lane ready, though a worker has it",
        scenario: "two_calls_in_order",
        says: "offset_mismatch",
        changes: &[Change {
            file: WORKERS,
            from: "if !was_scheduled {",
            to: "if !was_scheduled || true {",
        }],
    },
    Bug {
        id: "reply_before_effects",
        clauses: &["SR-PUB-001", "SR-CON-001"],
        incident: None,
        about: "a task is answered when its call is in the queue",
        scenario: "an_answered_chunk_is_there",
        says: "answered before it was written",
        changes: &[Change {
            file: "tokio/mod.rs",
            from: "        let call = self.submit(turn, move |lease| lease.handle_chunk(chunk, older_start));
        outcome_of(call).await",
            to: "        let bytes_done = chunk.end().unwrap_or(0);
        let call = self.submit(turn, move |lease| lease.handle_chunk(chunk, older_start));
        std::mem::forget(call);
        Ok(ChunkOutcome::Pending { bytes_done })",
        }],
    },
    Bug {
        id: "waker_kept_too_late",
        clauses: &["SR-LIV-001", "SR-CON-002"],
        incident: None,
        about: "a task sees that its call is not through, and only then, under another lock, leaves its waker",
        scenario: "two_tasks",
        says: "deadlock",
        changes: &[Change {
            file: CALL,
            from: "                progress.stage = stage;
                match &mut progress.waker {",
            to: "                progress.stage = stage;
                drop(progress);
                let mut progress = lock(&self.call.progress);
                match &mut progress.waker {",
        }],
    },
    Bug {
        id: "dropped_call_keeps_its_room",
        clauses: &["SR-CON-002"],
        incident: None,
        about: "a call that is dropped before its turn does not give its room in the queue back",
        scenario: "a_dropped_call",
        says: "deadlock",
        changes: &[Change {
            file: CALL,
            from: "        let _dropped = caught(|| drop(given_up));",
            to: "        std::mem::forget(given_up);",
        }],
    },
    Bug {
        id: "stream_goes_on_behind_a_refusal",
        clauses: &["SR-CON-001"],
        incident: None,
        about: "chunks of a stream that stand in the queue behind a refused one are taken all the same",
        scenario: "a_stream_with_a_gap",
        says: "taken behind a refusal",
        changes: &[Change {
            file: "tokio/pipeline.rs",
            from: "if is_over.load(Ordering::Relaxed) {",
            to: "if false {",
        }],
    },
    Bug {
        id: "called_twice",
        clauses: &["SR-CON-004"],
        incident: None,
        about: "a worker that was called and is not up yet is called again, in place of one that could come",
        scenario: "a_slow_database_beside_another",
        says: "deadlock",
        changes: &[Change {
            file: WORKERS,
            from: "        if ready.asleep > ready.called {
            ready.called += 1;",
            to: "        if ready.asleep > 0 {
            ready.called = 1;",
        }],
    },
    Bug {
        id: "one_worker_for_all",
        clauses: &["SR-CON-004"],
        incident: None,
        about: "no second worker is started while the first is at work",
        scenario: "a_slow_database_beside_another",
        says: "deadlock",
        changes: &[Change {
            file: WORKERS,
            from: "} else if ready.threads < self.threads_max.max(1) {",
            to: "} else if ready.threads < 1 {",
        }],
    },
    Bug {
        id: "lane_left_behind",
        clauses: &["SR-PRG-003", "SR-LIV-001"],
        incident: None,
        about: "a worker that goes to deliver a report does not pass on the calls that wait in its lane",
        scenario: "a_report_between_two_calls",
        says: "deadlock",
        changes: &[Change {
            file: WORKERS,
            from: "        ready.lanes.extend(has_more.then_some(lane));",
            to: "        drop((has_more, lane));",
        }],
    },
    Bug {
        id: "sleeps_without_looking",
        clauses: &["SR-LIV-001", "SR-CON-002"],
        incident: None,
        about: "a worker goes to sleep without another look at what came since it last looked",
        scenario: "two_tasks",
        says: "deadlock",
        changes: &[Change {
            file: WORKERS,
            from: "!look_again && self.lanes.is_empty() && !self.is_closed",
            to: "!look_again && !self.is_closed",
        }],
    },
    Bug {
        id: "report_left_behind",
        clauses: &["SR-PRG-003", "SR-PRG-001"],
        incident: None,
        about: "a thread that delivers sees no report, and only then, under another lock, says that it is through",
        scenario: "reports_of_two_calls",
        says: "SR-PRG-003",
        changes: &[Change {
            file: "executor/progress.rs",
            from: "        let mut queue = lock(&self.queue);
        let next = queue.waiting.pop_front();
        queue.is_delivered = next.is_some();
        next",
            to: "        let next = lock(&self.queue).waiting.pop_front();
        lock(&self.queue).is_delivered = next.is_some();
        next",
        }],
    },
];
