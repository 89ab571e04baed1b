//! A database's storage calls on the modelled directory.
//!
//! Guarantees: a call fails where its name, a limit or an order to fail says so, and does what it says
//! elsewhere. Refuses to know: when it is made.

use std::collections::BTreeSet;

use snapshot_receiver::protocol::{Effect, Failure, FailureKind, Operation, Text};

use super::tree::{Node, Tree};

/// A call that is made to fail, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Which.
    pub operation: Operation,
    /// How.
    pub kind: FailureKind,
}

/// The words for how a call can be told to fail.
pub(super) const KINDS: [&str; 2] = ["full", "other"];

impl Armed {
    /// A call by the name that the wire protocol has for it, and the word for how it fails; finer words may
    /// stand behind a colon. `None` where no database makes such a call.
    #[must_use]
    pub fn named(operation: &str, kind: &str) -> Option<Self> {
        let made = [
            Operation::Create,
            Operation::Write,
            Operation::Sync,
            Operation::Publish,
            Operation::SyncDirectory,
            Operation::Remove,
        ];
        let operation = made.into_iter().find(|made| made.name() == operation)?;
        Some(Self {
            operation,
            kind: kind_named(kind),
        })
    }
}

fn kind_named(word: &str) -> FailureKind {
    let (word, _) = word.split_once(':').unwrap_or((word, ""));
    if word.trim() == "full" {
        FailureKind::Full
    } else {
        FailureKind::Other
    }
}

/// The word for how a call failed.
pub(super) const fn kind_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Full => "full",
        FailureKind::DirectoryInTheWay | FailureKind::Other => "other",
    }
}

/// The places of one database, with what decides whether a call on them works.
pub(super) struct Files<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) open: &'a mut BTreeSet<String>,
    pub(super) partial: String,
    pub(super) snapshot: String,
    pub(super) ours: bool,
    pub(super) size_limit: Option<(u64, FailureKind)>,
    pub(super) armed: &'a mut Option<Armed>,
    pub(super) exceeded: bool,
    pub(super) keeps_bytes: bool,
}

impl Files<'_> {
    pub(super) fn perform(&mut self, effect: &Effect<Text, Vec<u8>>) -> Result<(), Failure> {
        match effect {
            Effect::Create => self.create(),
            Effect::Write { offset, data } => self.write(*offset, data),
            Effect::Sync => self.fails(Operation::Sync),
            Effect::Publish(_) => self.publish(),
            Effect::SyncDirectory => self.fails(Operation::SyncDirectory),
            Effect::Remove => self.remove(),
            Effect::Report(_) | Effect::Reply(_) => Ok(()),
        }
    }

    fn fails(&mut self, operation: Operation) -> Result<(), Failure> {
        match self.armed.take_if(|armed| armed.operation == operation) {
            Some(Armed { operation, kind }) => Err(Failure { operation, kind }),
            None => Ok(()),
        }
    }

    pub(super) fn create(&mut self) -> Result<(), Failure> {
        self.fails(Operation::Create)?;
        if self.tree.at(&self.partial) == Some(&Node::Directory) {
            let (operation, kind) = (Operation::Create, FailureKind::DirectoryInTheWay);
            return Err(Failure { operation, kind });
        }
        self.tree.put(&self.partial, Node::file(""));
        self.open.remove(&self.partial);
        self.ours = true;
        Ok(())
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Failure> {
        self.fails(Operation::Write)?;
        let end = offset + data.len() as u64;
        if let Some((_, kind)) = self.size_limit.filter(|(limit, _)| end > *limit) {
            self.exceeded = true;
            let operation = Operation::Write;
            return Err(Failure { operation, kind });
        }
        if self.ours && !self.keeps_bytes {
            self.tree.put(&self.partial, Node::Huge(end));
            return Ok(());
        }
        if self.ours
            && let Some(Node::File(bytes)) = self.tree.at(&self.partial)
        {
            let mut bytes = bytes.as_ref().clone();
            // The reference writes where the file ends.
            bytes.extend_from_slice(data);
            self.tree.put(&self.partial, Node::file(bytes));
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.fails(Operation::Publish)?;
        let (operation, kind) = (Operation::Publish, FailureKind::Other);
        if !self.ours || self.tree.at(&self.snapshot) == Some(&Node::Directory) {
            return Err(Failure { operation, kind });
        }
        let file = self.tree.nodes.remove(&self.partial);
        let file = file.ok_or(Failure { operation, kind })?;
        self.tree.put(&self.snapshot, file);
        Ok(())
    }

    fn remove(&mut self) -> Result<(), Failure> {
        self.fails(Operation::Remove)?;
        if self.tree.at(&self.partial) == Some(&Node::Directory) {
            let (operation, kind) = (Operation::Remove, FailureKind::Other);
            return Err(Failure { operation, kind });
        }
        if !self.ours && self.tree.at(&self.partial).is_some() {
            // Somebody else's: whether it goes too is nobody's promise.
            self.open.insert(self.partial.clone());
        }
        self.tree.take_away(&self.partial);
        Ok(())
    }
}
