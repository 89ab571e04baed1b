//! A target's input as a trace: readable, and taken again by `cargo gate replay`.
//!
//! Guarantees: what is written is read back the same; each word of the input is a line of its own,
//! so that a line can be taken out; comments say what the words mean, and are not read. A finding of
//! `world` becomes the gate's own trace of actions. `interleave`'s inputs are read and written here too,
//! and replayed elsewhere. Refuses to know: what a target does.
//!
//! ```text
//! # snapshot-receiver trace 1
//! target step_sequence
//! bug DigestLeaks
//! broken SR-CRC-001 the checksum is the partial's
//! # database 0: ChunkArrived { .. }
//! input 05000001
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Rig, Target, Watch, planted, worlds};
use crate::trace::{HEADING, Trace, TraceError, statements};

/// A trace of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Actions of a modelled world.
    World(Trace),
    /// A fuzz target's input.
    Input(InputTrace),
}

/// A fuzz target's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputTrace {
    /// The target's name.
    pub target: String,
    /// The bug planted, by name.
    pub bug: Option<String>,
    /// What does not hold.
    pub broken: Vec<String>,
    /// The bytes.
    pub input: Vec<u8>,
}

impl Recorded {
    /// Reads a trace of either kind.
    ///
    /// # Errors
    /// [`TraceError`] names the line.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let names_a_target = |line: &str| line.starts_with("target ");
        if text.lines().any(names_a_target) {
            InputTrace::parse(text).map(Self::Input)
        } else {
            Trace::parse(text).map(Self::World)
        }
    }

    /// Writes it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::World(trace) => trace.text(),
            Self::Input(trace) => trace.text(),
        }
    }

    /// What a target's input is recorded as: what happens in it, and what breaks.
    #[must_use]
    pub fn of(target: &Target, rig: &Rig, bug: Option<&str>, input: &[u8]) -> (Self, Vec<String>) {
        let mut watch = Watch::everything();
        let broken = target.find(rig, input, &mut watch).err();
        let lines = watch.lines.unwrap_or_default();
        let as_world = (target.name == "world").then(|| worlds::as_trace(rig, &lines, broken.as_deref()?));
        let recorded = match as_world.flatten() {
            Some(trace) => Self::World(trace),
            None => Self::Input(InputTrace {
                target: target.name.to_owned(),
                bug: bug.map(str::to_owned),
                broken: broken.into_iter().map(|what| what.replace('\n', " ")).collect(),
                input: input.to_vec(),
            }),
        };
        (recorded, lines)
    }
}

/// Bytes of an input on one line, where its target has words of one byte.
const LINE_BYTES: usize = 16;

impl InputTrace {
    /// The target whose body is not here: it needs the shell's source (`tests/interleavings`).
    pub const INTERLEAVE: &str = "interleave";

    fn parse(text: &str) -> Result<Self, TraceError> {
        let mut trace = Self {
            target: String::new(),
            bug: None,
            broken: Vec::new(),
            input: Vec::new(),
        };
        let mut has_input = false;
        for said in statements(text)? {
            match said.word {
                "target"
                    if trace.target.is_empty()
                        && (Target::named(said.rest).is_some() || said.rest == Self::INTERLEAVE) =>
                {
                    said.rest.clone_into(&mut trace.target);
                }
                "bug" if trace.bug.is_none() => trace.bug = Some(said.rest.to_owned()),
                "broken" => trace.broken.push(said.rest.to_owned()),
                "input" => {
                    let bytes = from_hexadecimal(said.rest).ok_or_else(|| said.not_understood())?;
                    // An input of no bytes is one line without any.
                    if has_input && (bytes.is_empty() || trace.input.is_empty()) {
                        return Err(said.not_understood());
                    }
                    has_input = true;
                    trace.input.extend(bytes);
                }
                _ => return Err(said.not_understood()),
            }
        }
        let is_here = trace.target != Self::INTERLEAVE;
        let bug = trace.bug.as_deref().filter(|_| is_here);
        let planted = bug.map(|bug| planted::named(&trace.target, bug));
        match planted {
            Some(None) => Err(TraceError::Line {
                number: 1,
                line: format!("{} has no planted bug {:?}", trace.target, trace.bug),
            }),
            None | Some(Some(_)) if !has_input => Err(TraceError::Empty),
            None | Some(Some(_)) => Ok(trace),
        }
    }

    /// Writes it, without comments.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_with(&[])
    }

    /// Writes it, with what happens as comments.
    #[must_use]
    pub fn text_with(&self, comments: &[String]) -> String {
        let mut lines = vec![HEADING.to_owned(), format!("target {}", self.target)];
        lines.extend(self.bug.iter().map(|bug| format!("bug {bug}")));
        lines.extend(self.broken.iter().map(|rule| format!("broken {rule}")));
        let comments = comments.iter().flat_map(|comment| comment.lines());
        lines.extend(comments.map(|comment| format!("# {comment}")));
        let word = Target::named(&self.target).map_or(1, |target| target.word_bytes);
        let length = if word > 1 { word } else { LINE_BYTES };
        let rows = self.input.chunks(length);
        lines.extend(rows.map(|bytes| format!("input {}", hexadecimal(bytes))));
        if self.input.is_empty() {
            lines.push("input".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Runs it again: what happens, and what does not hold.
    ///
    /// # Errors
    /// There is no such target or bug.
    pub fn replay(&self) -> Result<(Vec<String>, Option<String>), TraceError> {
        let unknown = || TraceError::System(format!("{} {:?}", self.target, self.bug));
        let target = Target::named(&self.target).ok_or_else(unknown)?;
        let rig = match &self.bug {
            None => Rig::default(),
            Some(bug) => Rig::with(planted::named(&self.target, bug).ok_or_else(unknown)?),
        };
        let mut watch = Watch::everything();
        let broken = target.find(&rig, &self.input, &mut watch).err();
        Ok((watch.lines.unwrap_or_default(), broken))
    }
}

/// Keeps an input as a regression: itself, its trace and a note of its cause, side by side. The trace's
/// path.
///
/// # Errors
/// A file cannot be written.
pub fn keep(
    directory: &Path,
    name: &str,
    input: &[u8],
    trace: &str,
    cause: &str,
    found_as: &str,
) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let note = format!("# {name}\n\n{cause}\n\nFound as: {found_as}\n");
    fs::write(directory.join(name), input)?;
    fs::write(directory.join(format!("{name}.md")), note)?;
    let path = directory.join(format!("{name}.trace"));
    fs::write(&path, trace)?;
    Ok(path)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end().as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}
