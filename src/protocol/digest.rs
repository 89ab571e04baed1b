//! The checksum over the bytes received, and the evidence it gives.
//!
//! Guarantees: a [`Verified`] exists only where length and checksum were compared and found
//! equal (SR-CRC-002, SR-CRC-004, SR-LEN-001). Refuses to know: what is done with it.
//!
//! CRC32C (Castagnoli, RFC 3720 appendix B.4) detects accidents, not adversaries.

use core::fmt::Debug;
use core::hash::Hash;

use super::combine::combine;
use super::envelope::Identity;
use super::id::{DatabaseId, Symbol, Text};
use super::rejection::Rejection;

/// A running checksum. `Default` is the checksum of no bytes.
///
/// The second implementers are the weak digests that the checkers must catch.
pub trait Digest: Clone + Debug + Default + Eq + Hash {
    /// Takes the next bytes in.
    #[must_use]
    fn append(self, bytes: &[u8]) -> Self;
    /// Takes the next bytes in, whose CRC32C is known (see [`Chunk::hashed`]). A digest of another
    /// kind looks at the bytes.
    ///
    /// [`Chunk::hashed`]: super::Chunk::hashed
    #[must_use]
    fn append_hashed(self, bytes: &[u8], crc32c: u32) -> Self {
        let _unused = crc32c;
        self.append(bytes)
    }
    /// The checksum of all bytes taken in.
    fn value(&self) -> u32;
}

/// Below it, looking at the bytes again is faster than combining two checksums.
const COMBINED_BYTES_MIN: usize = 8 * 1024;

/// CRC32C by the `crc32c` crate, which uses the processor's instruction where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Crc32c(u32);

impl Digest for Crc32c {
    fn append(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    fn append_hashed(self, bytes: &[u8], crc32c: u32) -> Self {
        if bytes.len() < COMBINED_BYTES_MIN {
            self.append(bytes)
        } else {
            Self(combine(self.0, crc32c, bytes.len()))
        }
    }

    fn value(&self) -> u32 {
        self.0
    }
}

/// Evidence that all bytes of one snapshot arrived and have the declared checksum.
///
/// Publishing takes it, so that publishing unchecked bytes does not compile (SR-CRC-004):
///
/// ```compile_fail,E0451
/// use snapshot_receiver::protocol::{Effect, Identity, Verified};
/// fn publish_unchecked(identity: Identity) -> Effect<std::sync::Arc<str>, Vec<u8>> {
///     Effect::Publish(Verified { identity })
/// }
/// ```
///
/// The control differs in nothing but where the evidence comes from, and compiles:
///
/// ```
/// use snapshot_receiver::protocol::{Effect, Identity, Verified};
/// fn publish_checked(verified: Verified) -> Effect<std::sync::Arc<str>, Vec<u8>> {
///     let _identity: &Identity = verified.identity();
///     Effect::Publish(verified)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified<T = Text> {
    identity: Identity<T>,
}

impl<T: Symbol> Verified<T> {
    /// Compares length, then checksum, with what was declared.
    ///
    /// # Errors
    /// [`Rejection::LengthMismatch`] or [`Rejection::CrcMismatch`].
    pub(super) fn check<D: Digest>(
        identity: &Identity<T>,
        received_bytes: u64,
        digest: &D,
    ) -> Result<Self, Rejection<T>> {
        if received_bytes != identity.total_bytes {
            return Err(Rejection::LengthMismatch {
                total_bytes: identity.total_bytes,
                received_bytes,
            });
        }
        if digest.value() != identity.total_crc32c {
            return Err(Rejection::CrcMismatch {
                declared: identity.total_crc32c,
                computed: digest.value(),
            });
        }
        Ok(Self {
            identity: identity.clone(),
        })
    }

    /// What was verified.
    #[must_use]
    pub fn identity(&self) -> &Identity<T> {
        &self.identity
    }

    /// The database whose snapshot was verified.
    #[must_use]
    pub fn database(&self) -> &DatabaseId<T> {
        &self.identity.database
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{COMBINED_BYTES_MIN, Crc32c, Digest};

    /// Of nothing, of a few bytes, around the threshold, and far beyond it.
    fn length() -> impl Strategy<Value = usize> {
        prop_oneof![
            0..4usize,
            COMBINED_BYTES_MIN - 2..COMBINED_BYTES_MIN + 3,
            0..6 * COMBINED_BYTES_MIN,
        ]
    }

    /// Bytes that differ from place to place and from seed to seed.
    fn bytes(mut seed: u64, length: usize) -> Vec<u8> {
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    proptest! {
        /// Mutants: `append_hashed` that forgets everything before, or the bytes.
        #[test]
        fn payloads_hashed_ahead_or_not_in_any_split_have_the_checksum_of_the_whole(
            seed in any::<u64>(),
            parts in vec((length(), any::<bool>()), 0..6),
        ) {
            let whole = bytes(seed, parts.iter().map(|(length, _)| length).sum());
            let mut rest = whole.as_slice();
            let mut digest = Crc32c::default();
            for (length, is_hashed) in parts {
                let (part, after) = rest.split_at(length);
                digest = if is_hashed {
                    digest.append_hashed(part, crc32c::crc32c(part))
                } else {
                    digest.append(part)
                };
                rest = after;
            }
            assert_eq!(digest.value(), crc32c::crc32c(&whole));
        }
    }

    /// Mutant: the provided `append_hashed` forgets everything.
    #[test]
    fn a_digest_of_another_kind_looks_at_bytes_that_were_hashed_ahead() {
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        struct Sum(u32);
        impl Digest for Sum {
            fn append(self, bytes: &[u8]) -> Self {
                Self(bytes.iter().fold(self.0, |sum, byte| sum + u32::from(*byte)))
            }
            fn value(&self) -> u32 {
                self.0
            }
        }
        let begun = Sum::default().append(&[1, 2]);
        assert_eq!(begun.append_hashed(&[3, 4], crc32c::crc32c(&[3, 4])), Sum(10));
    }
}
