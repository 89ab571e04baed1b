//! The hand-over that this project starts from, as a model: a call looks at the state under a lock,
//! takes the open file out, writes with nothing locked, and puts the file back.
//!
//! Guarantees: the order of its locks is that of the public design (SPEC.md, incidents A9 to A11), and
//! nothing else of it is here. Refuses to know: the shipped receiver. A checker that does not find each
//! of the three races in it could not find one in the receiver either.

use std::sync::{Arc, Mutex as Plain};

use loom::sync::Mutex;

type Inode = Arc<Plain<Vec<u8>>>;

/// What lies under the two names. Renaming and truncating are atomic, as a file system's are.
#[derive(Default)]
struct Names {
    partial: Option<Inode>,
    snapshot: Option<Inode>,
}

#[derive(Default)]
struct State {
    is_running: bool,
    bytes_done: usize,
    received: Vec<u8>,
    file: Option<Inode>,
}

#[derive(Default)]
struct Receiver {
    state: Mutex<State>,
    /// A lock of its own: an operation of the disk, at which threads may be switched.
    names: Mutex<Names>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Pending(usize),
    Committed,
    Rejected,
}

impl Receiver {
    fn chunk(&self, offset: usize, data: &[u8], done: bool) -> Answer {
        let file = {
            let mut state = self.state.lock().expect("no panic under the lock");
            if offset == 0 {
                *state = State {
                    is_running: true,
                    ..State::default()
                };
            } else if !state.is_running || offset != state.bytes_done {
                return Answer::Rejected;
            }
            state.file.take()
        };
        let file = if offset == 0 { self.truncate() } else { file };
        let Some(file) = file else { return Answer::Rejected };
        write(&file, offset, data);
        let bytes_done = {
            let mut state = self.state.lock().expect("no panic under the lock");
            state.bytes_done += data.len();
            state.received.extend(data);
            state.file = Some(file);
            state.bytes_done
        };
        if !done {
            return Answer::Pending(bytes_done);
        }
        // The checksum of what was received is right; then the path is renamed.
        self.state.lock().expect("no panic under the lock").is_running = false;
        let mut names = self.names.lock().expect("no panic under the lock");
        names.snapshot = names.partial.take();
        Answer::Committed
    }

    /// Opens the path, which keeps its inode, and truncates it.
    fn truncate(&self) -> Option<Inode> {
        let mut names = self.names.lock().expect("no panic under the lock");
        let inode = Arc::clone(names.partial.get_or_insert_default());
        inode.lock().expect("no panic under the lock").clear();
        Some(inode)
    }

    fn abort(&self) {
        *self.state.lock().expect("no panic under the lock") = State::default();
        self.names.lock().expect("no panic under the lock").partial = None;
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        let names = self.names.lock().expect("no panic under the lock");
        let inode = names.snapshot.as_ref()?;
        Some(inode.lock().expect("no panic under the lock").clone())
    }
}

fn write(file: &Inode, offset: usize, data: &[u8]) {
    let mut bytes = file.lock().expect("no panic under the lock");
    let length = bytes.len().max(offset + data.len());
    bytes.resize(length, 0);
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

/// A race: its incident, its body, and what a checker that finds it says.
#[derive(Debug)]
pub struct Race {
    /// Id in SPEC.md.
    pub incident: &'static str,
    /// The threads.
    pub body: fn(),
    /// The failure.
    pub says: &'static str,
}

/// Each has to be found.
pub const RACES: [Race; 3] = [
    Race {
        incident: "A9",
        body: two_copies_of_a_start,
        says: "two copies of a chunk count twice",
    },
    Race {
        incident: "A10",
        body: a_start_beside_the_final_chunk,
        says: "committed, and not what was checked",
    },
    Race {
        incident: "A11",
        body: an_abort_beside_a_write,
        says: "the file of an aborted attempt was put back",
    },
];

fn two_copies_of_a_start() {
    let receiver = Arc::new(Receiver::default());
    let other = Arc::clone(&receiver);
    let thread = loom::thread::spawn(move || other.chunk(0, b"ab", false));
    let mine = receiver.chunk(0, b"ab", false);
    let answers = [mine, thread.join().expect("no panic")];
    assert!(
        !answers.contains(&Answer::Pending(4)),
        "two copies of a chunk count twice: {answers:?}"
    );
}

fn a_start_beside_the_final_chunk() {
    let receiver = Arc::new(Receiver::default());
    assert_eq!(receiver.chunk(0, b"ab", false), Answer::Pending(2));
    let other = Arc::clone(&receiver);
    let thread = loom::thread::spawn(move || other.chunk(0, b"AB", false));
    if receiver.chunk(2, b"cd", true) == Answer::Committed {
        let snapshot = receiver.snapshot();
        assert_eq!(
            snapshot.as_deref(),
            Some(b"abcd".as_slice()),
            "committed, and not what was checked"
        );
    }
    thread.join().expect("no panic");
}

fn an_abort_beside_a_write() {
    let receiver = Arc::new(Receiver::default());
    assert_eq!(receiver.chunk(0, b"ab", false), Answer::Pending(2));
    let other = Arc::clone(&receiver);
    let thread = loom::thread::spawn(move || other.chunk(2, b"cd", false));
    receiver.abort();
    assert_eq!(receiver.chunk(0, b"AB", false), Answer::Pending(2));
    thread.join().expect("no panic");
    let state = receiver.state.lock().expect("no panic under the lock");
    let names = receiver.names.lock().expect("no panic under the lock");
    let same = match (&state.file, &names.partial) {
        (Some(file), Some(partial)) => Arc::ptr_eq(file, partial),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    assert!(same, "the file of an aborted attempt was put back");
}
