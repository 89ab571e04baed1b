//! What both benchmarks need: bytes to receive, medians, and whether to measure at all.

use bytes::Bytes;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// Whether `cargo bench` runs this, and to measure. `cargo test --benches` passes no `--bench`,
/// and only wants to see that it works.
pub(crate) fn is_measuring() -> bool {
    let passed = |name: &str| std::env::args().any(|argument| argument == name);
    passed("--bench") && !passed("--test") && !passed("--list")
}

/// Bytes that no file system can compress or recognise as a hole, the same in every run.
pub(crate) fn pseudo_random(length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + size_of::<u64>());
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while bytes.len() < length {
        // xorshift64: the quality of the numbers does not matter, only that they are no pattern.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}

/// Measurements of the same thing, the least first.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }
}

impl Sample {
    /// The measurement that `part` of `parts` of the others are below: 1 of 2 is the median, 0
    /// the least, all the greatest. The lower one where two are in question.
    pub(crate) fn quantile(&self, part: usize, parts: usize) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get(last * part / parts).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(1, 2)
    }
}

/// A chunk's size as the tables print it.
pub(crate) fn size_name(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        bytes if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        bytes => format!("{bytes} B"),
    }
}
