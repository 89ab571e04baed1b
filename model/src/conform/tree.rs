//! A directory tree as a value.
//!
//! Guarantees: kinds, contents and link targets of everything below a directory, without following
//! links or opening anything but regular files. Refuses to know: which of it is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use super::scenario::{Thing, fill, shown};

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file, and what it holds.
    File(Arc<Vec<u8>>),
    /// A file too long to be read, and its length: no scenario leads to one.
    Huge(u64),
    /// A symbolic link, and where it leads.
    Link(String),
    /// A directory.
    Directory,
    /// A pipe, a socket or a device.
    Special,
}

/// Longest file that is read; a broken receiver may preallocate any length.
const READ_BYTES_MAX: u64 = 64 << 20;

impl Node {
    /// A file of these bytes.
    #[must_use]
    pub fn file(bytes: impl Into<Vec<u8>>) -> Self {
        Self::File(Arc::new(bytes.into()))
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "{}", shown(bytes)),
            Self::Huge(bytes) => write!(f, "{bytes} bytes"),
            Self::Link(target) => write!(f, "a link to {target}"),
            Self::Directory => write!(f, "a directory"),
            Self::Special => write!(f, "a special file"),
        }
    }
}

/// A tree: paths below its root, each with what stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path, separated by `/`.
    pub nodes: BTreeMap<String, Node>,
    /// Inode numbers of files, where they were seen.
    pub inodes: BTreeMap<String, u64>,
}

/// A place where two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where.
    pub path: String,
    /// What must be there.
    pub expected: Option<Node>,
    /// What is.
    pub actual: Option<Node>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |node: &Option<Node>| node.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        write!(
            f,
            "{}: expected {}, found {}",
            self.path,
            told(&self.expected),
            told(&self.actual)
        )
    }
}

impl Tree {
    /// Reads all that stands below a directory. Names in the receive directory that start with a dot
    /// are the receiver's own business and are left out.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn scan(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.scan_below(root, "")?;
        Ok(tree)
    }

    fn scan_below(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_receive(prefix) && name.starts_with('.') {
                continue;
            }
            let path = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type()?;
            let node = if kind.is_dir() {
                self.scan_below(&entry.path(), &path)?;
                Node::Directory
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(entry.path())?.to_string_lossy().into_owned())
            } else if kind.is_file() {
                let metadata = entry.metadata()?;
                self.inodes.insert(path.clone(), metadata.ino());
                if metadata.len() > READ_BYTES_MAX {
                    Node::Huge(metadata.len())
                } else {
                    Node::file(fs::read(entry.path())?)
                }
            } else {
                debug_assert!(kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device());
                Node::Special
            };
            self.nodes.insert(path, node);
        }
        Ok(())
    }

    /// What stands there.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Puts something there, with the directories above it.
    pub fn put(&mut self, path: &str, node: Node) {
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].to_owned()).or_insert(Node::Directory);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Takes away what stands there, and everything below.
    pub fn take_away(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|at, _| at != path && !at.starts_with(&below));
    }

    /// Where `actual` differs from this tree, but for the places that are left open.
    #[must_use]
    pub fn mismatches(&self, actual: &Self, open: &BTreeSet<String>) -> Vec<Mismatch> {
        let paths: BTreeSet<&String> = self.nodes.keys().chain(actual.nodes.keys()).collect();
        let differs = |path: &&String| !open.contains(*path) && self.at(path) != actual.at(path);
        paths
            .into_iter()
            .filter(differs)
            .map(|path| Mismatch {
                path: path.clone(),
                expected: self.at(path).cloned(),
                actual: actual.at(path).cloned(),
            })
            .collect()
    }

    /// The tree in lines, for people; directories only where they are empty of files.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |(path, node): (&String, &Node)| format!("{path}: {node}");
        let telling = |(path, node): &(&String, &Node)| {
            let below = format!("{path}/");
            **node != Node::Directory || !self.nodes.keys().any(|other| other.starts_with(&below))
        };
        self.nodes.iter().filter(telling).map(line).collect()
    }
}

/// Whether a path is the receive directory of some data directory: a scenario may open several.
fn is_receive(path: &str) -> bool {
    path.strip_suffix("recv_snapshots")
        .is_some_and(|above| above.ends_with('/'))
}

/// Puts a thing on the real disk and into the modelled tree.
///
/// # Errors
/// It cannot be made.
pub fn place(root: &Path, tree: &mut Tree, path: &str, what: &Thing) -> io::Result<()> {
    let real = root.join(path);
    if let Some(parent) = real.parent() {
        fs::create_dir_all(parent)?;
    }
    let node = match what {
        Thing::File(text) => {
            fs::write(&real, text)?;
            Node::file(text.as_bytes())
        }
        Thing::Link(target) => {
            let target = fill(target, 0, &root.to_string_lossy());
            symlink(&target, &real)?;
            Node::Link(target)
        }
        Thing::HardLink(target) => {
            fs::hard_link(root.join(target), &real)?;
            tree.at(target).cloned().ok_or(io::ErrorKind::NotFound)?
        }
        Thing::Directory => {
            fs::create_dir(&real)?;
            Node::Directory
        }
        Thing::Pipe => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &real, rustix::fs::FileType::Fifo, mode, 0)?;
            Node::Special
        }
    };
    tree.put(path, node);
    Ok(())
}

/// Takes what stands there off the real disk and out of the modelled tree.
///
/// # Errors
/// It cannot be removed; that nothing is there is none.
pub fn take_away(root: &Path, tree: &mut Tree, path: &str) -> io::Result<()> {
    let real = root.join(path);
    tree.take_away(path);
    match fs::symlink_metadata(&real) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir_all(&real),
        Ok(_) => fs::remove_file(&real),
    }
}
