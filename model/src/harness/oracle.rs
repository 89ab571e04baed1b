//! What a receiver has to answer, told by keeping every byte in a vector.
//!
//! Guarantees: shares no code with `step`; written from the clauses of SPEC.md; its two judgements,
//! `chunk` and `finish`, stay within 80 lines. Refuses to know:
//! storage (a failure is told to it), concurrency, files.

use std::collections::BTreeMap;

use super::{Answer, Sent, TRANSFERS_MAX};
use crate::harness::{CHUNK_BYTES_MAX, REPORT_BYTES, SNAPSHOT_BYTES_MAX};

/// One database, as the oracle sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expected {
    /// The running transfer: its start's header, and the bytes so far.
    pub running: Option<(Sent, Vec<u8>)>,
    /// The latest commit's cluster and LSN.
    pub(super) latest: Option<(String, u64)>,
    /// The chunk that is answered `Committed` again.
    pub(super) repeat: Option<Sent>,
    /// What the snapshot's name must hold.
    pub snapshot: Option<Vec<u8>>,
    /// Bytes since the last report.
    unreported: u64,
    /// Reports due: bytes done, or `None` for `Following`.
    pub reports: Vec<Option<u64>>,
}

/// All databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Oracle {
    /// By id.
    pub databases: BTreeMap<String, Expected>,
}

impl Oracle {
    /// What this envelope is answered where no operation fails; the oracle's state follows.
    pub fn chunk(&mut self, sent: &Sent, older_allowed: bool) -> Answer {
        if !valid(&sent.database) || sent.database.starts_with('.') {
            return Answer::rejected("invalid_database_id", None, 0);
        }
        if sent.cluster.is_empty() || sent.cluster.len() > 200 {
            return Answer::rejected("invalid_cluster_id", None, 0);
        }
        let is_running = |database: &&Expected| database.running.is_some();
        let busy = self.databases.values().filter(is_running).count();
        let database = self.databases.entry(sent.database.clone()).or_default();
        let length = sent.data.len() as u64;
        let end = sent.offset.saturating_add(length);
        let resume = match &database.running {
            Some((start, bytes)) if start.same_snapshot(sent) => bytes.len() as u64,
            _ => 0,
        };
        let refuse = |reason, values| Answer::rejected(reason, values, resume);
        if sent.data.len() > CHUNK_BYTES_MAX {
            return refuse("chunk_too_large", Some((CHUNK_BYTES_MAX as u64, length)));
        }
        if sent.offset == 0 {
            let newest = match (&database.running, &database.latest) {
                (Some((start, _)), _) => Some(start.lsn),
                (None, Some((cluster, lsn))) if *cluster == sent.cluster => Some(*lsn),
                (None, _) => None,
            };
            if sent.total > SNAPSHOT_BYTES_MAX {
                return refuse("snapshot_too_large", Some((SNAPSHOT_BYTES_MAX, sent.total)));
            } else if end > sent.total {
                return refuse("length_overrun", Some((sent.total, end)));
            } else if let Some(newest) = newest.filter(|newest| sent.lsn < *newest && !older_allowed) {
                return refuse("stale_snapshot", Some((newest, sent.lsn)));
            } else if database.running.is_none() && busy >= TRANSFERS_MAX {
                return refuse("too_many_transfers", None);
            }
            (database.repeat, database.unreported) = (None, 0);
            database.running = Some((sent.clone(), Vec::new()));
        }
        let Some((start, bytes)) = &mut database.running else {
            return match &database.repeat {
                Some(last) if last.repeated_by(sent) => Answer::Committed(sent.lsn),
                _ => refuse("offset_mismatch", Some((0, sent.offset))),
            };
        };
        if !start.same_snapshot(sent) {
            return refuse("identity_mismatch", None);
        } else if sent.offset != bytes.len() as u64 {
            return refuse("offset_mismatch", Some((bytes.len() as u64, sent.offset)));
        } else if end > sent.total {
            return refuse("length_overrun", Some((sent.total, end)));
        }
        bytes.extend(&sent.data);
        let bytes = bytes.clone();
        if sent.done {
            return database.finish(sent, bytes);
        }
        database.unreported += length;
        if database.unreported >= REPORT_BYTES {
            database.unreported = 0;
            database.reports.push(Some(end));
        }
        Answer::Pending(end)
    }
}

impl Expected {
    fn finish(&mut self, sent: &Sent, bytes: Vec<u8>) -> Answer {
        let (received, computed) = (bytes.len() as u64, crc32c::crc32c(&bytes));
        self.running = None;
        if received != sent.total {
            return Answer::rejected("length_mismatch", Some((sent.total, received)), 0);
        }
        if computed != sent.crc {
            return Answer::rejected("crc_mismatch", Some((sent.crc.into(), computed.into())), 0);
        }
        self.latest = Some((sent.cluster.clone(), sent.lsn));
        self.repeat = (sent.offset > 0).then(|| sent.clone());
        self.snapshot = Some(bytes);
        self.reports.push(None);
        Answer::Committed(sent.lsn)
    }

    /// An abort, an expiry or a failure: the attempt is over, what was committed is remembered.
    pub fn end_attempt(&mut self) {
        self.running = None;
    }

    /// A start was admitted, though it failed: the repeated answer is over.
    pub fn forget_repeat_if(&mut self, start_was_admitted: bool) {
        if start_was_admitted {
            self.repeat = None;
        }
    }

    /// A restart: only the files are left.
    pub fn restart(&mut self) {
        *self = Self {
            snapshot: self.snapshot.take(),
            ..Self::default()
        };
    }
}

fn valid(id: &str) -> bool {
    (1..=200).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
