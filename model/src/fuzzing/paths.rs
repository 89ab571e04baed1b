//! `paths`: ids of all kinds, and files that somebody planted.
//!
//! The shipped receiver on real files, in a directory beside one that is none of its business. A word
//! plants a file, a link, a directory or a socket, or is a call. The whole tree is read before and
//! after each call.
//!
//! Guarantees: a call changes the two names of its own database, an opening the orphans, and nothing
//! else (SR-SEC-001, SR-REC-001); what is answered is what stands there, in a new file (SR-SEC-002).
//! Refuses to know: failing operations, limits, progress; other targets have those.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

use snapshot_receiver::protocol::{DatabaseId, Envelope, Operation};
use snapshot_receiver::{ChunkOutcome, Options, ReceiveError, Receiver};
use tempfile::{TempDir, tempdir_in};

use super::planted::Own;
use super::{Rig, Target, Watch};

/// See the head of this file.
pub(super) const TARGET: Target = Target {
    name: "paths",
    about: "ids of all kinds, and planted files, links, directories and sockets, on real files",
    word_bytes: 4,
    input_bytes_max: 16 * 4,
    reaches: &[
        "pending",
        "committed",
        "aborted",
        "opened",
        "open refused",
        "invalid_database_id",
        "offset_mismatch",
        "crc_mismatch",
        "failed create",
        "failed publish",
        "link replaced",
        "orphan swept",
        "planted file",
        "planted link",
        "planted directory",
        "planted socket",
        "partial replaced",
    ],
    run,
};

/// What ids and planted names are made of.
const PIECES: [&str; 20] = [
    "db_0",
    "db_1",
    "..",
    "/",
    ".",
    "-",
    "a",
    "A",
    "\0",
    "\u{e9}",
    "\\",
    " ",
    "recv_snapshots",
    ".partial",
    ".snapshot",
    "outside",
    "~",
    "%2f",
    "\n",
    "",
];

/// Below the receiver's data directory and beside it, what stands there.
type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(Vec<u8>),
    Link(PathBuf),
    Directory,
    Special,
}

fn run(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let mut site = Site::new(rig).map_err(|error| format!("no directory to work in: {error}"))?;
    for word in input.as_chunks().0 {
        site.take(*word, watch)?;
    }
    site.close()
}

struct Site {
    own: Option<Own>,
    root: TempDir,
    receiver: Option<Receiver>,
    /// The bytes of each running transfer, and whether its partial was replaced behind its back.
    running: BTreeMap<String, (Vec<u8>, bool)>,
}

const CANARY: &[u8] = b"none of the receiver's business";

impl Site {
    fn new(rig: &Rig) -> io::Result<Self> {
        let root = tempdir_in(&rig.scratch)?;
        fs::create_dir_all(root.path().join("outside/directory"))?;
        fs::write(root.path().join("outside/canary"), CANARY)?;
        fs::create_dir_all(root.path().join("data/recv_snapshots"))?;
        Ok(Self {
            own: rig.own,
            root,
            receiver: None,
            running: BTreeMap::new(),
        })
    }

    fn receive(&self) -> PathBuf {
        self.root.path().join("data/recv_snapshots")
    }

    fn tree(&self) -> Result<Tree, String> {
        let mut tree = Tree::new();
        read_into(&mut tree, self.root.path()).map_err(|error| format!("the tree cannot be read: {error}"))?;
        Ok(tree)
    }

    fn take(&mut self, [kind, which, a, b]: [u8; 4], watch: &mut Watch) -> Result<(), String> {
        let id = match which % 8 {
            0..=3 => ["db_0", "db_1"][usize::from(which) % 2].to_owned(),
            4 => [a, b].map(|piece| PIECES[usize::from(piece) % PIECES.len()]).concat(),
            5 => [a, 3, b]
                .map(|piece| PIECES[usize::from(piece) % PIECES.len()])
                .concat(),
            6 => "x".repeat(usize::from(a)),
            _ => [a, b].iter().copied().map(char::from).collect(),
        };
        match kind % 12 {
            0..=2 => {
                let suffix = [".partial", ".snapshot", "", ".PARTIAL"][usize::from(which >> 3) % 4];
                self.plant(&format!("{id}{suffix}"), b, watch);
                Ok(())
            }
            3 => {
                self.replace_partial(&id, b, watch);
                Ok(())
            }
            4 => self.reopen(which, watch),
            5 => self.abort(&id, watch),
            kind => {
                if self.receiver.is_none() {
                    self.reopen(0, watch)?;
                }
                self.chunk(&id, kind, [a, b], watch)
            }
        }
    }

    /// Somebody plants something in the receive directory, where nothing stands.
    fn plant(&self, name: &str, what: u8, watch: &mut Watch) {
        let path = self.receive().join(name);
        let is_component = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        if !is_component || path.symlink_metadata().is_ok() {
            return;
        }
        let outside = self.root.path().join("outside");
        let (made, what) = match what % 6 {
            0 => (fs::write(&path, b"planted"), "planted file"),
            1 => (symlink(outside.join("canary"), &path), "planted link"),
            2 => (symlink(outside.join("directory"), &path), "planted link"),
            3 => (symlink(outside.join("nowhere"), &path), "planted link"),
            4 => (fs::create_dir(&path), "planted directory"),
            _ => (UnixListener::bind(&path).map(drop), "planted socket"),
        };
        if made.is_ok() {
            watch.see(what);
            watch.tell(|| format!("{what}: {name:?}"));
        }
    }

    /// Somebody replaces the partial of a running transfer.
    fn replace_partial(&mut self, id: &str, what: u8, watch: &mut Watch) {
        let Some((_, replaced)) = self.running.get_mut(id) else {
            return;
        };
        *replaced = true;
        let name = format!("{id}.partial");
        if fs::remove_file(self.receive().join(&name)).is_ok() {
            watch.see("partial replaced");
            self.plant(&name, what % 4, watch);
        }
    }

    /// A receiver opens, on its directory or on a link in its place.
    fn reopen(&mut self, which: u8, watch: &mut Watch) -> Result<(), String> {
        self.close()?;
        let receive = self.receive();
        let is_hidden = which & 0x40 != 0;
        let aside = self.root.path().join("aside");
        if is_hidden {
            let moved = fs::rename(&receive, &aside);
            let linked = symlink(self.root.path().join("outside"), &receive);
            moved.and(linked).map_err(|error| error.to_string())?;
        }
        let before = self.tree()?;
        let opened = Receiver::open(self.root.path().join("data"), Options::default().idle_timeout(None));
        if self.own == Some(Own::ForeignSwept) {
            sweep_foreign(&self.receive());
        }
        let after = self.tree()?;
        if is_hidden {
            let restored = fs::remove_file(&receive).and_then(|()| fs::rename(&aside, &receive));
            restored.map_err(|error| error.to_string())?;
            watch.see("open refused");
            return match opened {
                Ok(_) => Err("opened on a link in the place of the receive directory".to_owned()),
                Err(_) => unchanged(&before, &after, |_| false),
            };
        }
        self.receiver = Some(opened.map_err(|error| format!("refused to open: {error}"))?);
        watch.see("opened");
        watch.tell(|| "opened".to_owned());
        for (path, node) in &before {
            if !is_partial_of_a_database(&receive, path) {
                continue;
            }
            let stays = match node {
                Node::File(_) | Node::Link(_) => false,
                Node::Directory | Node::Special => true,
            };
            if !stays {
                watch.see("orphan swept");
            }
            if after.contains_key(path) != stays {
                return Err(format!("after an opening, {path:?} ({node:?}): {:?}", after.get(path)));
            }
        }
        unchanged(&before, &after, |path| {
            is_partial_of_a_database(&receive, path) && matches!(before.get(path), Some(Node::File(_) | Node::Link(_)))
        })
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(receiver) = self.receiver.take() else {
            return Ok(());
        };
        let before = self.tree()?;
        receiver.close().map_err(|error| format!("close: {error}"))?;
        drop(receiver);
        let names = self
            .running
            .keys()
            .map(|id| self.receive().join(format!("{id}.partial")));
        let own: Vec<PathBuf> = names.collect();
        self.running.clear();
        let after = self.tree()?;
        if let Some(left) = own.iter().find(|path| after.contains_key(*path)) {
            return Err(format!("closed, and {left:?} is left"));
        }
        unchanged(&before, &after, |path| own.iter().any(|own| own == path))
    }

    fn abort(&mut self, id: &str, watch: &mut Watch) -> Result<(), String> {
        let before = self.tree()?;
        let Some(receiver) = &self.receiver else {
            return Ok(());
        };
        let told = receiver.abort_database(id);
        let after = self.tree()?;
        watch.tell(|| format!("abort of {id:?}: {told:?}"));
        let partial = self.receive().join(format!("{id}.partial"));
        match (DatabaseId::new(id), told) {
            (Ok(_), Ok(())) => {
                watch.see("aborted");
                let ran = self.running.remove(id).is_some();
                if ran && after.contains_key(&partial) {
                    return Err(format!("aborted, and {partial:?} is left"));
                }
                unchanged(&before, &after, |path| ran && path == partial)
            }
            (Err(_), Err(ReceiveError::Rejected { .. })) => unchanged(&before, &after, |_| false),
            (valid, told) => Err(format!("an abort of {id:?} ({valid:?}) was told {told:?}")),
        }
    }

    /// A chunk of one byte or two: a start that is whole, or not, or a continuation that ends it.
    fn chunk(&mut self, id: &str, kind: u8, bytes: [u8; 2], watch: &mut Watch) -> Result<(), String> {
        let running = self.running.get(id).cloned();
        let (content, total) = match (&running, kind) {
            (Some((first, _)), 9..=10) => (vec![first[0], b'!'], 2),
            (Some((first, _)), 11) => (vec![first[0], bytes[1]], 2),
            (None, 9..=11) | (_, 6) => (bytes.to_vec(), 2),
            (_, _) => (vec![bytes[0]], if kind == 7 { 1 } else { 2 }),
        };
        let is_continuation = kind >= 9;
        let from = usize::from(is_continuation);
        let envelope = Envelope {
            source_cluster_id: "eu".into(),
            source_database_id: id.into(),
            snapshot_lsn: 1,
            total_bytes: total,
            // The second byte of what is only begun is known to nobody yet: any sum will do.
            total_crc32c: if kind == 8 || is_continuation {
                sum_of(&content[..1])
            } else {
                crc32c::crc32c(&content)
            },
            offset: from as u64,
            data: content[from..].to_vec(),
            done: kind != 8,
        };
        let before = self.tree()?;
        self.plant_mistakes(id, from == 0);
        let Some(receiver) = &self.receiver else {
            return Ok(());
        };
        let told = receiver.handle_chunk(envelope.clone());
        let after = self.tree()?;
        watch.tell(|| format!("{envelope:?}: {told:?}"));
        self.judge(id, &envelope, told, &before, &after, watch)
    }

    /// What the planted bugs do before the receiver is asked.
    fn plant_mistakes(&self, id: &str, is_start: bool) {
        let path = self.receive().join(format!("{id}.partial"));
        let mistaken = match self.own {
            Some(Own::IdJoinedIntoPath) => DatabaseId::new(id).is_err(),
            Some(Own::LinkFollowed) => is_start && path.is_symlink(),
            Some(_) | None => false,
        };
        if mistaken {
            // Where the path is none, the bug does nothing.
            let _written = fs::write(path, b"");
        }
    }

    fn judge(
        &mut self,
        id: &str,
        envelope: &Envelope<Vec<u8>>,
        told: Result<ChunkOutcome, ReceiveError>,
        before: &Tree,
        after: &Tree,
        watch: &mut Watch,
    ) -> Result<(), String> {
        let [partial, snapshot] = ["partial", "snapshot"].map(|suffix| self.receive().join(format!("{id}.{suffix}")));
        if DatabaseId::new(id).is_err() {
            watch.see("invalid_database_id");
            return match told {
                Err(ReceiveError::Rejected { .. }) => unchanged(before, after, |_| false),
                told => Err(format!("{id:?} is no id, and told {told:?}")),
            };
        }
        let is_start = envelope.offset == 0;
        if is_start && matches!(before.get(&partial), Some(Node::Link(_))) {
            watch.see("link replaced");
        }
        let (earlier, replaced) = self.running.remove(id).filter(|_| !is_start).unwrap_or_default();
        let content = [earlier, envelope.data.clone()].concat();
        match told {
            Ok(ChunkOutcome::Pending { .. }) => {
                watch.see("pending");
                self.running.insert(id.to_owned(), (content.clone(), replaced));
                if !replaced && after.get(&partial) != Some(&Node::File(content)) {
                    return Err(format!("pending, and the partial is {:?}", after.get(&partial)));
                }
                unchanged(before, after, |path| path == partial)
            }
            Ok(ChunkOutcome::Committed { .. }) => {
                watch.see("committed");
                // A final chunk that is repeated changes nothing, and says nothing of the content.
                let is_repeated = !is_start && before == after;
                if !is_repeated && (replaced || after.get(&snapshot) != Some(&Node::File(content))) {
                    return Err(format!("committed, and the snapshot is {:?}", after.get(&snapshot)));
                }
                unchanged(before, after, |path| path == partial || path == snapshot)
            }
            Err(ReceiveError::Rejected { rejection, .. }) => {
                watch.see(rejection.reason());
                let is_verdict = rejection.is_verdict();
                if !is_verdict && !content.is_empty() && envelope.offset > 0 && content.len() > envelope.data.len() {
                    let earlier = content[..content.len() - envelope.data.len()].to_vec();
                    self.running.insert(id.to_owned(), (earlier, replaced));
                }
                if is_verdict && after.contains_key(&partial) {
                    return unless_foreign(before, after, &partial);
                }
                unchanged(before, after, |path| is_verdict && path == partial)
            }
            Err(ReceiveError::Storage { operation, .. }) => {
                watch.see(format!("failed {operation}"));
                let in_the_way = |path: &Path| matches!(before.get(path), Some(Node::Directory));
                let explained = match operation {
                    Operation::Create => in_the_way(&partial),
                    Operation::Publish => in_the_way(&snapshot) || replaced,
                    Operation::Write
                    | Operation::Sync
                    | Operation::SyncDirectory
                    | Operation::Remove
                    | Operation::Panic => false,
                };
                if !explained {
                    return Err(format!("{operation} failed, and nothing was in the way"));
                }
                unchanged(before, after, |path| path == partial && !in_the_way(path))
            }
            Err(error @ (ReceiveError::Closed | ReceiveError::Cancelled)) => Err(error.to_string()),
            Err(error) => Err(format!("an error that is not known here: {error}")),
        }
    }
}

/// After a verdict on a start, a directory in the partial's place stays; nothing else does.
fn unless_foreign(before: &Tree, after: &Tree, partial: &Path) -> Result<(), String> {
    match before.get(partial) {
        Some(Node::Directory) => unchanged(before, after, |_| false),
        Some(_) | None => Err(format!("a verdict, and the partial is {:?}", after.get(partial))),
    }
}

fn sum_of(begun: &[u8]) -> u32 {
    crc32c::crc32c(&[begun, &b"!"[..]].concat())
}

fn sweep_foreign(receive: &Path) {
    for entry in fs::read_dir(receive).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            // A directory stays: a bug of a sweep, not of `remove_dir_all`.
            let _removed = fs::remove_file(entry.path());
        }
    }
}

fn is_partial_of_a_database(receive: &Path, path: &Path) -> bool {
    let name = path.strip_prefix(receive).ok().and_then(Path::to_str);
    let id = name.and_then(|name| name.strip_suffix(".partial"));
    id.is_some_and(|id| DatabaseId::new(id).is_ok())
}

/// Whether nothing but what `may_change` differs.
fn unchanged(before: &Tree, after: &Tree, may_change: impl Fn(&Path) -> bool) -> Result<(), String> {
    let mut paths = before.keys().chain(after.keys());
    match paths.find(|path| before.get(*path) != after.get(*path) && !may_change(path)) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{path:?} was {:?} and is {:?}",
            before.get(path),
            after.get(path)
        )),
    }
}

fn read_into(tree: &mut Tree, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let file_type = path.symlink_metadata()?.file_type();
        let node = if file_type.is_symlink() {
            Node::Link(fs::read_link(&path)?)
        } else if file_type.is_dir() {
            read_into(tree, &path)?;
            Node::Directory
        } else if file_type.is_file() {
            Node::File(fs::read(&path)?)
        } else {
            Node::Special
        };
        tree.insert(path, node);
    }
    Ok(())
}
