//! A counterexample as a file: one action a line, readable and editable.
//!
//! Guarantees: what is written is read back the same; a line that is none is an error that names
//! it; a trace without actions is an error too, because replaying nothing proves nothing. Refuses to
//! know: what an action does.
//!
//! ```text
//! # snapshot-receiver trace 1
//! system one/weak/fresh/2+2
//! bug GapAccepted
//! broken SR-OFF-003 only the next expected offset is admitted
//! open
//! send 0
//! deliver 0 0 cut
//! perform 0
//! ```

use snapshot_receiver::protocol::{Digest, FailureKind};

use crate::bugs::{Bug, Bugs};
use crate::disk::Damage;
use crate::system::{Profile, System, small_systems, systems};
use crate::world::{Action, Wear};

/// The first line: the format and its version.
pub const HEADING: &str = "# snapshot-receiver trace 1";

/// A counterexample, and where it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The system's label.
    pub system: String,
    /// The bugs seeded.
    pub bugs: Bugs,
    /// The rules that break at the end.
    pub broken: Vec<String>,
    /// What happens.
    pub actions: Vec<Action>,
}

/// Why a text is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Another format, or another version of it.
    #[error("the first line is {found:?}, not {HEADING:?}")]
    Heading {
        /// The first line.
        found: String,
    },
    /// A line that is neither an action nor a fact.
    #[error("line {number} is not understood: {line:?}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// The line.
        line: String,
    },
    /// No system has that label.
    #[error("there is no system {0:?}")]
    System(String),
    /// It has no action.
    #[error("the trace has no actions: nothing to replay")]
    Empty,
}

/// A line that says something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    number: usize,
    /// The whole line; space at its end says nothing.
    pub(crate) line: &'a str,
    /// What it begins with.
    pub(crate) word: &'a str,
    /// What follows.
    pub(crate) rest: &'a str,
}

impl Statement<'_> {
    pub(crate) fn not_understood(&self) -> TraceError {
        TraceError::Line {
            number: self.number,
            line: self.line.to_owned(),
        }
    }
}

/// The lines under the heading, but for empty ones and comments. An indented line is neither: its first
/// word is empty, and nobody may understand it; passed over, it would be another trace that is replayed.
pub(crate) fn statements(text: &str) -> Result<impl Iterator<Item = Statement<'_>>, TraceError> {
    let mut lines = (1..).zip(text.lines().map(str::trim_end));
    let heading = lines.next().map_or("", |(_, line)| line);
    if heading != HEADING {
        let found = heading.to_owned();
        return Err(TraceError::Heading { found });
    }
    let said = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Statement {
            number,
            line,
            word,
            rest,
        }
    });
    Ok(said.filter(|said| said.word != "#"))
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// [`TraceError`] names the line.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut trace = Self {
            system: String::new(),
            bugs: Bugs::none(),
            broken: Vec::new(),
            actions: Vec::new(),
        };
        let mut bugs = Vec::new();
        for said in statements(text)? {
            match said.word {
                "system" if trace.system.is_empty() => said.rest.clone_into(&mut trace.system),
                "bug" => bugs.push(Bug::named(said.rest).ok_or_else(|| said.not_understood())?),
                "broken" => trace.broken.push(said.rest.to_owned()),
                "" => return Err(said.not_understood()),
                _ => trace
                    .actions
                    .push(action(said.line).ok_or_else(|| said.not_understood())?),
            }
        }
        trace.bugs = Bugs::of(&bugs);
        if trace.actions.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(trace)
    }

    /// Writes it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![HEADING.to_owned(), format!("system {}", self.system)];
        lines.extend(self.bugs.iter().map(|bug| format!("bug {}", bug.name())));
        lines.extend(self.broken.iter().map(|rule| format!("broken {rule}")));
        lines.extend(self.actions.iter().copied().map(line));
        lines.push(String::new());
        lines.join("\n")
    }

    /// The system that it happens in.
    ///
    /// # Errors
    /// [`TraceError::System`].
    pub fn find_system<D: Digest>(&self) -> Result<System, TraceError> {
        let mut all = systems::<D>(Profile::Deep).into_iter().chain(small_systems::<D>());
        let found = all.find(|system| system.label() == self.system);
        found.ok_or_else(|| TraceError::System(self.system.clone()))
    }
}

const WEARS: [(Wear, &str); 6] = [
    (Wear::Intact, "intact"),
    (Wear::Flipped, "flipped"),
    (Wear::Cut, "cut"),
    (Wear::Longer, "longer"),
    (Wear::HugeTotal, "huge-total"),
    (Wear::FarOffset, "far-offset"),
];

const DAMAGES: [(Damage, &str); 2] = [(Damage::Nothing, "nothing"), (Damage::Done, "done")];

const KINDS: [(FailureKind, &str); 3] = [
    (FailureKind::Full, "full"),
    (FailureKind::DirectoryInTheWay, "directory-in-the-way"),
    (FailureKind::Other, "other"),
];

fn word<T: PartialEq>(words: &[(T, &'static str)], wanted: &T) -> &'static str {
    let found = words.iter().find(|(value, _)| value == wanted);
    // The lists above have every value: a test writes and reads each.
    found.map_or("?", |(_, word)| word)
}

fn value<T: Copy>(words: &[(T, &'static str)], wanted: &str) -> Option<T> {
    let found = words.iter().find(|(_, word)| *word == wanted);
    found.map(|(value, _)| *value)
}

/// An action as a line.
#[must_use]
pub fn line(action: Action) -> String {
    match action {
        Action::Send { snapshot } => format!("send {snapshot}"),
        Action::Deliver { snapshot, chunk, wear } => format!("deliver {snapshot} {chunk} {}", word(&WEARS, &wear)),
        Action::Abort { database } => format!("abort {database}"),
        Action::Expire { database } => format!("expire {database}"),
        Action::Perform { database } => format!("perform {database}"),
        Action::Open => "open".to_owned(),
        Action::OpenFailing { after, damage } => format!("open-failing {after} {}", word(&DAMAGES, &damage)),
        Action::Crash { left } => format!("crash {left}"),
        Action::CrashOpening { after, left } => format!("crash-opening {after} {left}"),
        Action::Fail { database, damage, kind } => {
            format!("fail {database} {} {}", word(&DAMAGES, &damage), word(&KINDS, &kind))
        }
    }
}

/// The action that a line says.
#[must_use]
pub fn action(line: &str) -> Option<Action> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |text: &str| text.parse::<u8>().ok();
    Some(match *words.as_slice() {
        ["send", snapshot] => Action::Send {
            snapshot: number(snapshot)?,
        },
        ["deliver", snapshot, chunk, wear] => Action::Deliver {
            snapshot: number(snapshot)?,
            chunk: number(chunk)?,
            wear: value(&WEARS, wear)?,
        },
        ["abort", database] => Action::Abort {
            database: number(database)?,
        },
        ["expire", database] => Action::Expire {
            database: number(database)?,
        },
        ["perform", database] => Action::Perform {
            database: number(database)?,
        },
        ["open"] => Action::Open,
        ["open-failing", after, damage] => Action::OpenFailing {
            after: number(after)?,
            damage: value(&DAMAGES, damage)?,
        },
        ["crash", left] => Action::Crash {
            left: left.parse().ok()?,
        },
        ["crash-opening", after, left] => Action::CrashOpening {
            after: number(after)?,
            left: left.parse().ok()?,
        },
        ["fail", database, damage, kind] => Action::Fail {
            database: number(database)?,
            damage: value(&DAMAGES, damage)?,
            kind: value(&KINDS, kind)?,
        },
        _ => return None,
    })
}
