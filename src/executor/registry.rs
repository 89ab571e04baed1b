//! Who is known: one entry per database that has a transfer, a call in flight, an owed removal
//! or a remembered commit.
//!
//! Guarantees: two calls for one database meet at the same slot; an entry in use is never
//! removed; places for running transfers and remembered commits are bounded (SR-CON-005); after
//! `close`, nothing new gets in. Refuses to know: what is in a slot.
//!
//! Lock order: a slot's lock may be held when the registry's is taken, never the other way
//! round.

use std::collections::{BTreeMap, HashMap};

use super::sync::{Arc, Condvar, Mutex, lock, wait};
use crate::protocol::{DatabaseId, Vacancy};

#[derive(Debug)]
pub(super) struct Registry<S, V> {
    inner: Mutex<Inner<S, V>>,
    /// A call has ended, or a transfer has begun.
    ended: Condvar,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) transfers_max: usize,
    pub(super) remembered_commits_max: usize,
}

#[derive(Debug)]
struct Inner<S, V> {
    /// Once closed, nothing new gets in.
    closed: bool,
    /// `None` once the closing is through: with it the lock on the directory ends.
    storage: Option<S>,
    entries: HashMap<DatabaseId, Entry<V>>,
    /// Remembered commits, the longest past first.
    commits: BTreeMap<u64, DatabaseId>,
    commits_so_far: u64,
    running: usize,
    /// Of those, the transfers whose first call is still in flight: it may end them.
    beginning: usize,
    calls: usize,
}

#[derive(Debug)]
struct Entry<V> {
    slot: Arc<V>,
    leases: usize,
    holding: Holding,
    /// Key in `commits`.
    commit: Option<u64>,
    /// Counted in `beginning`.
    is_beginning: bool,
}

/// What is left when nobody is in any more.
#[derive(Debug)]
pub(super) struct Closing<S, V> {
    pub(super) storage: S,
    pub(super) slots: Vec<(DatabaseId, Arc<V>)>,
}

/// What a transfer at rest still needs its entry for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) running: bool,
    pub(super) owes_removal: bool,
    pub(super) remembers_commit: bool,
}

impl<S, V> Registry<S, V> {
    pub(super) fn new(storage: S, bounds: Bounds) -> Self {
        Self {
            inner: Mutex::new(Inner {
                closed: false,
                storage: Some(storage),
                entries: HashMap::new(),
                commits: BTreeMap::new(),
                commits_so_far: 0,
                running: 0,
                beginning: 0,
                calls: 0,
            }),
            ended: Condvar::new(),
            bounds,
        }
    }

    /// The database's slot, kept until it is released; `None` once closed.
    pub(super) fn lease(&self, database: &DatabaseId) -> Option<Arc<V>>
    where
        V: Default,
    {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return None;
        }
        // A lookup first: the common case must not copy the key.
        if let Some(entry) = inner.entries.get_mut(database) {
            entry.leases += 1;
            return Some(Arc::clone(&entry.slot));
        }
        let slot = Arc::new(V::default());
        let entry = Entry {
            slot: Arc::clone(&slot),
            leases: 1,
            holding: Holding::default(),
            commit: None,
            is_beginning: false,
        };
        inner.entries.insert(database.clone(), entry);
        Some(slot)
    }

    /// The storage, for one call, which the closing waits for; `None` once closed.
    pub(super) fn begin_call(&self) -> Option<S>
    where
        S: Clone,
    {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return None;
        }
        let storage = inner.storage.clone();
        inner.calls += usize::from(storage.is_some());
        storage
    }

    /// The call has let go of the storage.
    pub(super) fn end_call(&self) {
        lock(&self.inner).calls -= 1;
        self.ended.notify_all();
    }

    /// The call has let go of the slot.
    pub(super) fn release(&self, database: &DatabaseId) {
        let mut inner = lock(&self.inner);
        if let Some(entry) = inner.entries.get_mut(database) {
            entry.leases -= 1;
            if entry.leases == 0 && entry.holding == Holding::default() {
                inner.entries.remove(database);
            }
        }
        inner.forget_commits(self.bounds.remembered_commits_max);
    }

    /// Takes a place for a new transfer, if there is one; [`settle`](Self::settle) gives it back
    /// when the transfer has ended.
    ///
    /// Waits while the answer hangs on a transfer that is just beginning: one chunk may begin and
    /// end it, and a start refused beside it would fit no order of the two calls (SR-CON-001). That
    /// transfer has its place and waits for nobody.
    pub(super) fn take_place(&self, database: &DatabaseId) -> Vacancy {
        let mut inner = lock(&self.inner);
        while inner.running >= self.bounds.transfers_max && inner.beginning > 0 {
            inner = wait(&self.ended, inner);
        }
        if inner.running >= self.bounds.transfers_max {
            let transfers_max = self.bounds.transfers_max as u64;
            return Vacancy::Exhausted { transfers_max };
        }
        inner.set_running(database, true);
        inner.beginning += 1;
        if let Some(entry) = inner.entries.get_mut(database) {
            entry.is_beginning = true;
        }
        Vacancy::Free
    }

    /// Notes how a call left the transfer; called before the slot's lock is let go, so that
    /// places are counted in the order of the steps.
    pub(super) fn settle(&self, database: &DatabaseId, holding: Holding, committed: bool) {
        let mut inner = lock(&self.inner);
        inner.set_running(database, holding.running);
        if committed {
            inner.remember_commit(database);
        }
        let Some(entry) = inner.entries.get_mut(database) else {
            return;
        };
        entry.holding = holding;
        if std::mem::take(&mut entry.is_beginning) {
            inner.beginning -= 1;
            self.ended.notify_all();
        }
    }

    /// The databases that an abort of all has something to do for.
    pub(super) fn to_abort(&self) -> Vec<DatabaseId> {
        self.select(|entry| entry.holding.running || entry.holding.owes_removal)
    }

    /// The databases whose transfer runs and that no call waits for or works on: a chunk in a queue
    /// continues its transfer.
    pub(super) fn quiet(&self) -> Vec<DatabaseId> {
        self.select(|entry| entry.holding.running && entry.leases == 0)
    }

    fn select(&self, wanted: impl Fn(&Entry<V>) -> bool) -> Vec<DatabaseId> {
        let inner = lock(&self.inner);
        let entries = inner.entries.iter().filter(|(_, entry)| wanted(entry));
        entries.map(|(database, _)| database.clone()).collect()
    }

    /// Adds a slot that a recovery left something in.
    pub(super) fn insert(&self, database: DatabaseId, slot: V, holding: Holding) {
        let entry = Entry {
            slot: Arc::new(slot),
            leases: 0,
            holding,
            commit: None,
            is_beginning: false,
        };
        lock(&self.inner).entries.insert(database, entry);
    }

    /// Lets nobody in any more, waits for the calls that are in, and returns the storage with
    /// every slot, once. The caller gives the storage up and then says so by
    /// [`end_call`](Self::end_call); until then another closing waits.
    pub(super) fn close(&self) -> Option<Closing<S, V>> {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        while inner.calls > 0 {
            inner = wait(&self.ended, inner);
        }
        let storage = inner.storage.take()?;
        inner.calls += 1;
        let entries = inner.entries.iter();
        let slots = entries.map(|(database, entry)| (database.clone(), Arc::clone(&entry.slot)));
        let slots = slots.collect();
        Some(Closing { storage, slots })
    }
}

impl<S, V> Inner<S, V> {
    fn set_running(&mut self, database: &DatabaseId, running: bool) {
        if let Some(entry) = self.entries.get_mut(database) {
            match (entry.holding.running, running) {
                (false, true) => self.running += 1,
                (true, false) => self.running -= 1,
                (false, false) | (true, true) => {}
            }
            entry.holding.running = running;
        }
    }

    fn remember_commit(&mut self, database: &DatabaseId) {
        self.commits_so_far += 1;
        let order = self.commits_so_far;
        if let Some(entry) = self.entries.get_mut(database)
            && let Some(earlier) = entry.commit.replace(order)
        {
            self.commits.remove(&earlier);
        }
        self.commits.insert(order, database.clone());
    }

    /// Forgets the commits longest past. Databases in use do not count: there are at most as many
    /// of those as there are places, calls and owed removals, and they are looked at again when they
    /// are let go.
    fn forget_commits(&mut self, remembered_max: usize) {
        if self.commits.len() <= remembered_max {
            return;
        }
        let entries = &self.entries;
        let is_idle = |database: &DatabaseId| {
            entries
                .get(database)
                .is_none_or(|entry| entry.leases == 0 && !entry.holding.running && !entry.holding.owes_removal)
        };
        let idle = self.commits.iter().filter(|(_, database)| is_idle(database));
        let idle: Vec<(u64, DatabaseId)> = idle.map(|(order, database)| (*order, database.clone())).collect();
        let excess = idle.len().saturating_sub(remembered_max);
        for (order, database) in idle.into_iter().take(excess) {
            self.commits.remove(&order);
            self.entries.remove(&database);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lives_exactly_as_long_as_it_is_in_use() {
        let bounds = Bounds {
            transfers_max: 1,
            remembered_commits_max: 1,
        };
        let registry: Registry<(), u8> = Registry::new((), bounds);
        let database = DatabaseId::new("db").expect("valid");
        let lease = || registry.lease(&database).expect("open");
        let (first, second) = (lease(), lease());
        registry.release(&database);
        let third = lease();
        assert!(
            Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &third),
            "two calls for one database meet at the same slot"
        );
        registry.release(&database);
        registry.release(&database);
        assert!(
            lock(&registry.inner).entries.is_empty(),
            "nothing is kept of a call that is through"
        );
    }

    /// Mutant: a start does not wait for one that is just beginning (SR-CON-001). What is asserted
    /// holds however the threads run; the pause gives a start that does not wait the time to show it.
    #[test]
    fn a_start_waits_for_the_place_of_one_that_is_just_beginning() {
        let bounds = Bounds {
            transfers_max: 1,
            remembered_commits_max: 1,
        };
        let registry: Registry<(), u8> = Registry::new((), bounds);
        let [first, second] = ["first", "second"].map(|id| DatabaseId::new(id).expect("valid"));
        let _slots = [&first, &second].map(|database| registry.lease(database).expect("open"));
        assert_eq!(registry.take_place(&first), Vacancy::Free);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| registry.take_place(&second));
            std::thread::sleep(std::time::Duration::from_millis(20));
            registry.settle(&first, Holding::default(), false);
            assert_eq!(waiting.join().expect("no panic"), Vacancy::Free);
        });
    }

    /// Mutant: a closing does not wait for the calls that are in. About the pause: as above.
    #[test]
    fn a_closing_waits_for_the_calls_that_are_in() {
        let bounds = Bounds {
            transfers_max: 1,
            remembered_commits_max: 1,
        };
        let registry: Registry<(), u8> = Registry::new((), bounds);
        registry.begin_call().expect("open");
        let happened = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                registry.close().expect("the first");
                lock(&happened).push("closed");
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            lock(&happened).push("the call ends");
            registry.end_call();
        });
        assert_eq!(*lock(&happened), ["the call ends", "closed"]);
    }

    /// Mutants: `||` for `&&` in what makes a database idle.
    #[test]
    fn a_commit_past_the_bound_is_forgotten_only_where_nothing_else_needs_its_entry() {
        let bounds = Bounds {
            transfers_max: 1,
            remembered_commits_max: 0,
        };
        let at_rest = Holding {
            remembers_commit: true,
            ..Holding::default()
        };
        let running = Holding {
            running: true,
            ..at_rest
        };
        let owing = Holding {
            owes_removal: true,
            ..at_rest
        };
        let stays =
            [(true, at_rest), (false, running), (false, owing), (false, at_rest)].map(|(is_leased, holding)| {
                let registry: Registry<(), u8> = Registry::new((), bounds);
                let [database, other] = ["db", "other"].map(|id| DatabaseId::new(id).expect("valid"));
                let _slots = [&database, &other].map(|database| registry.lease(database).expect("open"));
                registry.settle(&database, holding, true);
                if !is_leased {
                    registry.release(&database);
                }
                registry.release(&other);
                lock(&registry.inner).entries.contains_key(&database)
            });
        assert_eq!(stays, [true, true, true, false]);
    }
}
