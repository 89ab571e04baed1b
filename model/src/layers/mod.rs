//! The layers beside the model: each seeds bugs that the model cannot express, in tests of its own.
//!
//! Guarantees: this table is the only list of them; a layer's name, what runs it, and what its results are
//! about stand here and nowhere else. Refuses to know: how a bug is made and caught; a layer's tests have
//! that, and leave their results for [`results`] to read.

mod real_files;
pub mod results;

pub use self::real_files::REAL_FILES;
pub use self::results::{LayerLie, Layers, LayersError, write};
use crate::bugs::Claim;
use crate::fuzzing::planted;

/// A layer whose own tests seed bugs and write what became of them (`cargo gate bugs --layers`).
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Its name, and that of its result file.
    pub name: &'static str,
    /// What runs its bugs.
    pub command: &'static str,
    /// Files and directories that its results are about, from the root of the project: older ones say
    /// nothing. The root's manifest and lock file count for every layer.
    pub sources: &'static [&'static str],
    /// Its bugs, where they are listed in this package; else its results are the list.
    pub claims: Option<fn() -> Vec<Claim>>,
}

/// The interleavings of the shipped shell.
pub const SHELL: Layer = Layer {
    name: "shell",
    command: "cargo test -p snapshot-receiver-interleavings --test loom",
    sources: &["src", "model/src", "tests/interleavings"],
    claims: None,
};

/// The shipped executor on real files.
pub const FILES: Layer = Layer {
    name: "real files",
    command: "cargo test --test faults",
    sources: &[
        "src",
        "model/src",
        "tests/faults",
        "tests/support",
        "tests/vectors",
        "fuzz/seeds/trace",
    ],
    claims: Some(|| REAL_FILES.to_vec()),
};

/// The fuzz targets.
pub const FUZZ: Layer = Layer {
    name: "fuzz",
    command: "cargo test --test fuzz",
    sources: FUZZ_SOURCES,
    claims: Some(planted::claims),
};

/// The fuzz target that chooses turns, in the shipped shell.
pub const FUZZ_INTERLEAVE: Layer = Layer {
    name: "fuzz interleave",
    command: "cargo test -p snapshot-receiver-interleavings --test interleave",
    sources: &["src", "model/src", "tests/interleavings", "fuzz/seeds/interleave"],
    claims: None,
};

/// The decoder of envelopes.
pub const DECODER: Layer = Layer {
    name: "decoder",
    command: "cargo test --test fuzz",
    sources: FUZZ_SOURCES,
    claims: Some(planted::decoder_claims),
};

/// The conformance kit's broken receivers.
pub const CONFORMANCE: Layer = Layer {
    name: "conformance",
    command: "cargo test -p snapshot-receiver-model --test teeth",
    sources: &["src", "model/src", "model/tests/teeth.rs", "conformance"],
    claims: None,
};

const FUZZ_SOURCES: &[&str] = &["src", "model/src", "tests/fuzz.rs", "fuzz/fuzz_targets", "fuzz/seeds"];

/// All of them.
pub const LAYERS: &[Layer] = &[SHELL, FILES, FUZZ, FUZZ_INTERLEAVE, DECODER, CONFORMANCE];

impl Layer {
    /// The layer of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LAYERS.iter().find(|layer| layer.name == name)
    }
}
