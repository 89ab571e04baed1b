//! What other layers' tests left of the bugs that they seed: read, never run again.
//!
//! Guarantees: results count only while none of the layer's sources is newer than they are; a layer
//! without results, or with stale ones, is told by name, and what runs it; a file that is no such report
//! is an error, not an empty layer. Refuses to know: how a layer runs its bugs.
//!
//! # The format
//!
//! A layer's tests write `target/gate-layers/<layer>.json` ([`write()`] does), and its name is one of
//! [`LAYERS`] (`-` and `_` stand for a space). Another name is a layer too; no clause waits for it, and
//! every source of the project is one of its own.
//!
//! ```json
//! {
//!   "bugs": [
//!     {"id": "LockReleasedEarly", "about": "The lock is released before the effects.",
//!      "clauses": ["SR-CON-001"], "incident": "A9", "caught_by": ["shell.rs::a_test"], "steps": null}
//!   ],
//!   "lies": [
//!     {"id": "a loom body that returns early", "caught": true, "by": "the number of executions"}
//!   ]
//! }
//! ```
//!
//! `bugs[]` is shaped as in the gate's JSON report. `id` and `clauses` are needed; a bug that nothing
//! caught has an empty `caught_by`. `lies[]` may be left out; so may `bugs[]` where there are lies.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use serde_json::{Value, json};

use super::{LAYERS, Layer};
use crate::clauses::CLAUSES;
use crate::report::json::bug as bug_as_json;
use crate::report::results::BugResult;

/// Where results are, from the root of the project.
pub const DIRECTORY: &str = "target/gate-layers";

/// A way in which a layer's own checker was made to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLie {
    /// What it was made to do.
    pub id: String,
    /// Whether that was noticed.
    pub is_noticed: bool,
    /// What noticed it.
    pub by: String,
}

impl LayerLie {
    /// Whether it is the one that only a checker of schedules can tell: a body that returns early.
    #[must_use]
    pub fn is_of_schedules(&self) -> bool {
        let letters: String = self.id.chars().filter(|letter| letter.is_alphabetic()).collect();
        letters.to_lowercase().contains("returnsearly")
    }
}

/// One layer's results.
#[derive(Clone, Debug)]
struct Read {
    name: String,
    found: Found,
}

/// What there is of a layer.
#[derive(Clone, Debug)]
enum Found {
    /// Results as new as what they are about.
    Results { bugs: Vec<BugResult>, lies: Vec<LayerLie> },
    /// Results from before a source was changed: they say nothing.
    Stale { newer: PathBuf },
    /// No file.
    Missing,
}

/// Every layer.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    layers: Vec<Read>,
    directory: PathBuf,
}

/// Why a layer's results cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// The file system says no.
    #[error("{path}: {source}")]
    Files {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// It is not JSON.
    #[error("{path}: {source}")]
    Json {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is no report of a layer.
    #[error("{path}: {what}")]
    Report {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Layers {
    /// Reads every layer's results; `root` is where the project is, whose sources they are about, or `None`
    /// where they are taken as they are.
    ///
    /// # Errors
    /// [`LayersError`]: a broken result is not taken for none.
    pub fn read(directory: &Path, root: Option<&Path>) -> Result<Self, LayersError> {
        let mut layers: Vec<Read> = Vec::new();
        for path in reports(directory)? {
            let stem = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().replace(['-', '_'], " "));
            let name = stem.unwrap_or_default();
            if layers.iter().any(|layer| layer.name == name) {
                let what = format!("a second file of layer {name:?}");
                return Err(LayersError::Report { path, what });
            }
            let written = modified(&path)?;
            let newest = root
                .map(|root| newest(sources(root, Layer::named(&name))))
                .transpose()?;
            let found = match newest.flatten() {
                Some((changed, newer)) if changed > written => Found::Stale { newer },
                Some(_) | None => results(&path, &name)?,
            };
            layers.push(Read { name, found });
        }
        for layer in LAYERS {
            if !layers.iter().any(|read| read.name == layer.name) {
                let (name, found) = (layer.name.to_owned(), Found::Missing);
                layers.push(Read { name, found });
            }
        }
        let directory = directory.to_owned();
        Ok(Self { layers, directory })
    }

    /// Every bug with results, and the layer that runs it.
    pub fn bugs(&self) -> impl Iterator<Item = (&str, &BugResult)> {
        self.layers.iter().flat_map(|layer| {
            let bugs = match &layer.found {
                Found::Results { bugs, .. } => bugs.as_slice(),
                Found::Stale { .. } | Found::Missing => &[],
            };
            bugs.iter().map(|bug| (layer.name.as_str(), bug))
        })
    }

    /// Every lie with results, and the layer that tells it.
    pub fn lies(&self) -> impl Iterator<Item = (&str, &LayerLie)> {
        self.layers.iter().flat_map(|layer| {
            let lies = match &layer.found {
                Found::Results { lies, .. } => lies.as_slice(),
                Found::Stale { .. } | Found::Missing => &[],
            };
            lies.iter().map(|lie| (layer.name.as_str(), lie))
        })
    }

    /// Gives a bug that is listed already a cell in the layer's column, and any other a row.
    pub fn add_to(&self, listed: &mut Vec<BugResult>) {
        for (layer, bug) in self.bugs() {
            if let Some(known) = listed.iter_mut().find(|known| known.id == bug.id) {
                known.layers.push((layer.to_owned(), bug.is_caught));
                known.is_caught &= bug.is_caught;
            } else {
                listed.push(bug.clone());
            }
        }
    }

    /// What is missing or stale, a line each.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let directory = self.directory.display();
        let notice = |read: &Read| {
            let command = Layer::named(&read.name).map_or("cargo test", |layer| layer.command);
            match &read.found {
                Found::Results { .. } => None,
                Found::Missing => Some(format!(
                    "no results of layer {} in {directory}; run `{command}`",
                    read.name
                )),
                Found::Stale { newer } => Some(format!(
                    "the results of layer {} in {directory} are stale, {} is newer; run `{command}`",
                    read.name,
                    newer.display()
                )),
            }
        };
        self.layers.iter().filter_map(notice).collect()
    }
}

/// Where the project is.
#[must_use]
pub fn project() -> PathBuf {
    let model = Path::new(env!("CARGO_MANIFEST_DIR"));
    model.parent().unwrap_or(model).to_owned()
}

/// What the results of a layer are about; of one that nobody knows, all that there is.
fn sources(root: &Path, layer: Option<&Layer>) -> Vec<PathBuf> {
    let own: Vec<&str> = match layer {
        Some(layer) => layer.sources.to_vec(),
        None => LAYERS.iter().flat_map(|layer| layer.sources).copied().collect(),
    };
    let all = own.into_iter().chain(["Cargo.toml", "Cargo.lock"]);
    // A test of this file names them in a project of its own, without most of them.
    all.map(|name| root.join(name)).filter(|path| path.exists()).collect()
}

/// Writes a layer's results, as [`Layers::read`] reads them.
///
/// # Errors
/// The directory or the file cannot be written.
pub fn write(directory: &Path, layer: &str, bugs: &[BugResult], lies: &[LayerLie]) -> io::Result<()> {
    let lie = |lie: &LayerLie| json!({ "id": lie.id, "caught": lie.is_noticed, "by": lie.by });
    let report = json!({
        "bugs": bugs.iter().map(bug_as_json).collect::<Vec<_>>(),
        "lies": lies.iter().map(lie).collect::<Vec<_>>(),
    });
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{layer}.json")), format!("{report:#}\n"))
}

fn files_error(path: &Path) -> impl FnOnce(io::Error) -> LayersError {
    let path = path.to_owned();
    move |source| LayersError::Files { path, source }
}

fn modified(path: &Path) -> Result<SystemTime, LayersError> {
    let metadata = fs::metadata(path).map_err(files_error(path))?;
    metadata.modified().map_err(files_error(path))
}

/// The files of a directory in the order of their names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, LayersError> {
    let listed = fs::read_dir(directory).map_err(files_error(directory))?;
    let paths: io::Result<Vec<PathBuf>> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(files_error(directory))?;
    paths.sort();
    Ok(paths)
}

fn reports(directory: &Path) -> Result<Vec<PathBuf>, LayersError> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut paths = entries(directory)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(paths)
}

/// The source changed last.
fn newest(sources: Vec<PathBuf>) -> Result<Option<(SystemTime, PathBuf)>, LayersError> {
    let mut newest = None;
    let mut pending = sources;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(entries(&path)?);
        } else if is_source(&path) {
            newest = newest.max(Some((modified(&path)?, path)));
        }
    }
    Ok(newest)
}

/// Not what a run of the tests leaves beside the sources: compiled Python, a built receiver.
fn is_source(path: &Path) -> bool {
    let is_seed = path.components().any(|part| part.as_os_str() == "seeds");
    let extension = path.extension().and_then(|extension| extension.to_str());
    is_seed || matches!(extension, Some("rs" | "toml" | "lock" | "py" | "c" | "json"))
}

fn results(path: &Path, layer: &str) -> Result<Found, LayersError> {
    let wrong = |what: String| LayersError::Report {
        path: path.to_owned(),
        what,
    };
    let text = fs::read_to_string(path).map_err(files_error(path))?;
    let report: Value = serde_json::from_str(&text).map_err(|source| LayersError::Json {
        path: path.to_owned(),
        source,
    })?;
    let listed = |key: &str| match &report[key] {
        Value::Array(items) => Ok(items.as_slice()),
        Value::Null => Ok(&[] as &[Value]),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(wrong(format!("{key} is no list")))
        }
    };
    let mut bugs: Vec<BugResult> = Vec::new();
    for item in listed("bugs")? {
        let bug = read_bug(item, layer).map_err(wrong)?;
        if bugs.iter().any(|known| known.id == bug.id) {
            return Err(wrong(format!("the bug {} stands there twice", bug.id)));
        }
        bugs.push(bug);
    }
    let lies: Result<Vec<LayerLie>, String> = listed("lies")?.iter().map(read_lie).collect();
    let lies = lies.map_err(wrong)?;
    if bugs.is_empty() && lies.is_empty() {
        return Err(wrong("it has neither bugs[] nor lies[]: nothing was run".to_owned()));
    }
    Ok(Found::Results { bugs, lies })
}

fn read_bug(bug: &Value, layer: &str) -> Result<BugResult, String> {
    let id = bug["id"].as_str().ok_or("a bug has no id")?;
    let texts = |key: &str| -> Result<Vec<String>, String> {
        let items = bug[key].as_array().ok_or_else(|| format!("{id}: {key} is no list"))?;
        let text = |item: &Value| item.as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        texts.ok_or_else(|| format!("{id}: {key} has something that is no text"))
    };
    let (clauses, caught_by) = (texts("clauses")?, texts("caught_by")?);
    if clauses.is_empty() {
        return Err(format!("{id}: it breaks no clause"));
    }
    if let Some(unknown) = clauses
        .iter()
        .find(|id| !CLAUSES.iter().any(|clause| clause.id == **id))
    {
        return Err(format!("{id}: there is no clause {unknown}"));
    }
    let incidents = bug["incident"].as_str().unwrap_or_default();
    Ok(BugResult {
        id: id.to_owned(),
        about: bug["about"].as_str().unwrap_or_default().to_owned(),
        clauses,
        incidents: incidents.split_whitespace().map(str::to_owned).collect(),
        is_caught: !caught_by.is_empty(),
        layers: vec![(layer.to_owned(), !caught_by.is_empty())],
        caught_by,
        steps: bug["steps"].as_u64().and_then(|steps| usize::try_from(steps).ok()),
        ..BugResult::default()
    })
}

fn read_lie(lie: &Value) -> Result<LayerLie, String> {
    let id = lie["id"].as_str().ok_or("a lie has no id")?;
    let is_noticed = lie["caught"].as_bool();
    Ok(LayerLie {
        id: id.to_owned(),
        is_noticed: is_noticed.ok_or_else(|| format!("{id}: caught is neither true nor false"))?,
        by: lie["by"].as_str().unwrap_or_default().to_owned(),
    })
}
