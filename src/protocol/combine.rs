//! The checksum of two byte strings in a row, from the checksums of each.
//!
//! Guarantees: the result is that of the bytes themselves. Refuses to know: the bytes.
//!
//! A CRC is a polynomial over GF(2) modulo the generator; bytes that follow multiply it by `x` to
//! the power of their bits. That power is a product of the precomputed `x^(2^n)`, as in zlib's
//! `crc32_combine` since 1.2.12 (Mark Adler). Both crates that offer it, `crc32c` and `crc-fast`,
//! square matrices instead and take 10 to 25 microseconds, longer than the checksum of 64 KiB
//! itself; this takes a twentieth of one, or two twentieths for odd lengths.

/// CRC32C's generator (Castagnoli), bits reversed: the highest bit is the constant term.
const GENERATOR: u32 = 0x82f6_3b78;

/// `x^0`.
const ONE: u32 = 1 << 31;

/// `x^(2^n)` modulo the generator. Bits of a length in bytes: at most 64 + 3.
const POWERS: [u32; 67] = {
    let mut powers = [ONE >> 1; 67];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The CRC32C of bytes with checksum `first` followed by `second_bytes` bytes with checksum `second`.
pub(super) const fn combine(first: u32, second: u32, second_bytes: usize) -> u32 {
    let mut shifted = first;
    let mut rest = second_bytes;
    // A byte has 2^3 bits.
    let mut n = 3;
    while rest > 0 {
        if rest & 1 == 1 {
            shifted = multiply(POWERS[n], shifted);
        }
        rest >>= 1;
        n += 1;
    }
    shifted ^ second
}

/// The product modulo the generator.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut rest = a;
    while rest != 0 {
        if rest & ONE != 0 {
            product ^= b;
        }
        rest <<= 1;
        b = if b & 1 == 1 { (b >> 1) ^ GENERATOR } else { b >> 1 };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::combine;

    #[test]
    fn the_combined_checksum_is_that_of_the_bytes() {
        let bytes: Vec<u8> = (0u32..70_000)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let whole = crc32c::crc32c(&bytes);
        for cut in [0, 1, 2, 3, 4095, 4096, 4464, 65_536, 69_999, 70_000] {
            let (first, second) = bytes.split_at(cut);
            let combined = combine(crc32c::crc32c(first), crc32c::crc32c(second), second.len());
            assert_eq!(combined, whole, "cut at {cut}");
        }
    }

    #[test]
    fn it_agrees_with_the_crate_for_lengths_beyond_memory() {
        for bit in 1..40 {
            for length in [(1usize << bit) - 1, 1 << bit, (1 << bit) + 1] {
                let expected = crc32c::crc32c_combine(0x1234_5678, 0x9abc_def0, length);
                assert_eq!(combine(0x1234_5678, 0x9abc_def0, length), expected, "{length} bytes");
            }
        }
    }
}
