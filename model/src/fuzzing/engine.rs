//! A small engine for stable: random mutations of seeds, minimising, and seeds worked out from
//! scratch.
//!
//! Guarantees: the same seed draws the same inputs on every machine; nothing depends on time passing.
//! Refuses to know: coverage. It is no fuzzer: it shows on stable that generators and oracles work;
//! campaigns are libFuzzer's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Rig, Target, Watch, decode, traces};

/// A random sequence (xorshift64*, Vigna 2016): no dependency, the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of that seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        // The state must not be 0.
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // The modulus fits: `end` is a `usize`, which 64 bits hold.
        usize::try_from(self.next() >> 16).unwrap_or_default() % end.max(1)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// Words of an input drawn from nothing, at most.
const WORDS_MAX: usize = 24;

/// Changes made to an input at once, at most.
const CHANGES_MAX: usize = 4;

/// An input drawn from nothing.
fn draw(target: &Target, random: &mut Random) -> Vec<u8> {
    let words = random.below(WORDS_MAX) + 1;
    (0..words * target.word_bytes).map(|_| random.byte()).collect()
}

/// An input of so many words on average, drawn from nothing: what rates are measured with.
#[must_use]
pub fn draw_words(target: &Target, random: &mut Random, words: usize) -> Vec<u8> {
    let words = 1 + random.below(2 * words - 1);
    (0..words * target.word_bytes).map(|_| random.byte()).collect()
}

/// An input made of others: bytes changed; words put in, taken out, copied; the end of another.
fn mutate(target: &Target, random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let word = target.word_bytes;
    let mut input = corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(CHANGES_MAX) {
        let at = random.below(input.len() / word + 1) * word;
        let at = at.min(input.len());
        match random.below(7) {
            0 | 1 if !input.is_empty() => {
                let index = random.below(input.len());
                input[index] = random.byte();
            }
            2 if !input.is_empty() => {
                let index = random.below(input.len());
                input[index] ^= 1 << random.below(8);
            }
            3 => drop(input.splice(at..at, (0..word).map(|_| random.byte()).collect::<Vec<u8>>())),
            4 => drop(input.drain(at..(at + word).min(input.len()))),
            5 => {
                let end = input.len().min(at + word * (1 + random.below(4)));
                let copied = input[at..end].to_vec();
                let to = (random.below(input.len() / word + 1) * word).min(input.len());
                input.splice(to..to, copied);
            }
            _ => {
                let other = corpus.get(random.below(corpus.len())).map_or(&[][..], Vec::as_slice);
                let from = (random.below(other.len() / word + 1) * word).min(other.len());
                input.truncate(at);
                input.extend(&other[from..]);
            }
        }
    }
    input.truncate(target.input_bytes_max);
    input
}

/// An input that breaks something.
#[derive(Clone, Debug)]
pub struct Found {
    /// The bytes.
    pub input: Vec<u8>,
    /// What does not hold.
    pub what: String,
    /// Inputs run until then, this one included.
    pub executions: u64,
}

/// Runs the seeds, then so many mutations of them; stops at the first finding that the planted bug
/// explains, where there is one, or at the first of all.
#[must_use]
pub fn campaign(target: &Target, rig: &Rig, seeds: &[Vec<u8>], executions: u64, random: &mut Random) -> Option<Found> {
    let mut watch = Watch::default();
    for number in 1..=executions {
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let input = match seeds.get(index) {
            Some(seed) => seed.clone(),
            None if random.below(8) == 0 => draw(target, random),
            None => mutate(target, random, seeds),
        };
        if let Err(what) = target.find(rig, &input, &mut watch)
            && rig.planted.is_none_or(|planted| planted.explains(&what))
        {
            let executions = number;
            return Some(Found {
                input,
                what,
                executions,
            });
        }
    }
    None
}

/// Whether two inputs break the same: a clause in common, or where neither names one, the same kind of
/// difference. What is minimised must not become another failure.
#[must_use]
pub fn are_alike(one: &str, other: &str) -> bool {
    let clauses = |what: &str| -> BTreeSet<String> {
        let words = what.split(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '-');
        words
            .filter(|word| word.starts_with("SR-"))
            .map(str::to_owned)
            .collect()
    };
    let kind = |what: &str| what.split([':', '"', '(']).next().unwrap_or_default().to_owned();
    let (of_one, of_other) = (clauses(one), clauses(other));
    if of_one.is_empty() && of_other.is_empty() {
        kind(one) == kind(other)
    } else {
        !of_one.is_disjoint(&of_other)
    }
}

/// A smaller input of which `keeps` still holds: words of so many bytes are taken out, many at once first,
/// then bytes made smaller.
#[must_use]
pub fn minimise(word: usize, input: &[u8], mut keeps: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut input = input.to_vec();
    loop {
        let before = input.clone();
        let mut span = (input.len() / 2).next_multiple_of(word).max(word);
        loop {
            let mut at = 0;
            while at < input.len() {
                let mut shorter = input.clone();
                shorter.drain(at..(at + span).min(input.len()));
                if keeps(&shorter) {
                    input = shorter;
                } else {
                    at += word;
                }
            }
            if span == word {
                break;
            }
            span = (span / 2).next_multiple_of(word).max(word);
        }
        for index in 0..input.len() {
            for smaller in [0, 1, input[index] / 2, input[index].saturating_sub(1)] {
                let kept = input[index];
                if smaller < kept {
                    input[index] = smaller;
                    if keeps(&input) {
                        break;
                    }
                    input[index] = kept;
                }
            }
        }
        if input == before {
            return input;
        }
    }
}

/// Inputs drawn and mutated to work out a target's seeds.
const DISTILLED: u64 = 30_000;

/// Seeds of a target, each named for what it reaches and as small as that allows; examples of its
/// format first, where it has one.
#[must_use]
pub fn distil(target: &Target, random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    let rig = Rig::default();
    let examples = match target.name {
        "decode_envelope" => decode::examples(),
        "trace" => traces::examples(),
        _ => Vec::new(),
    };
    let mut seeds: BTreeMap<String, Vec<u8>> = examples
        .into_iter()
        .map(|(name, input)| (name.to_owned(), input))
        .collect();
    let mut missing: Vec<&str> = target.reaches.to_vec();
    let mut corpus: Vec<Vec<u8>> = seeds.values().cloned().collect();
    let reached = |input: &[u8]| {
        let mut watch = Watch {
            seen: Some(Default::default()),
            lines: None,
        };
        let holds = target.find(&rig, input, &mut watch).is_ok();
        watch.seen.filter(|_| holds).unwrap_or_default()
    };
    for seed in &corpus {
        let seen = reached(seed);
        missing.retain(|name| !seen.contains(*name));
    }
    for _ in 0..DISTILLED {
        if missing.is_empty() {
            break;
        }
        let input = if corpus.is_empty() || random.below(2) == 0 {
            draw(target, random)
        } else {
            mutate(target, random, &corpus)
        };
        let seen = reached(&input);
        for name in missing.extract_if(.., |name| seen.contains(*name)) {
            let small = minimise(target.word_bytes, &input, |input| reached(input).contains(name));
            corpus.push(input.clone());
            seeds.insert(name.to_lowercase().replace([' ', '_', '\''], "-"), small);
        }
    }
    seeds
}

/// The files of a target's directory, in the order of their names; notes and traces are none.
///
/// # Errors
/// The directory, or a file, cannot be read.
pub fn inputs(directory: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(named)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| {
        path.extension()
            .is_none_or(|extension| extension != "md" && extension != "trace")
    });
    paths.sort();
    paths
        .into_iter()
        .map(|path| fs::read(&path).map(|bytes| (path, bytes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::are_alike;

    /// Found when a planted bug's input was made small: it became one that broke another clause.
    #[test]
    fn failures_are_alike_by_a_clause_in_common_or_by_their_kind() {
        let broken = "broken: SR-CRC-001 the checksum is the partial's; SR-CON-001 each step is one of the machine";
        assert!(are_alike(broken, "broken: SR-CRC-001 the checksum is the partial's"));
        assert!(!are_alike(
            broken,
            "broken: SR-PRG-001 reports keep step with the bytes"
        ));
        assert!(!are_alike(broken, "panicked: no envelope"));
        assert!(are_alike("answer: expected A, got B", "answer: expected C, got D"));
        assert!(!are_alike(
            "answer: expected A, got B",
            "partial: expected None, got Some([0])"
        ));
        assert!(are_alike("\"/tmp/1/canary\" was None", "\"/tmp/2/canary\" was None"));
    }
}
