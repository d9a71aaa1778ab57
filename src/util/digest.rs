//! Short ids for long content: the first 128 bits of its SHA-256. They are the same on every machine and in every
//! version, and an attacker who controls the content cannot produce a collision.

use std::hash::Hasher;

use sha2::{Digest as _, Sha256};

/// Digests content part by part. Each part is preceded by its length, so distinct lists of parts have distinct digests.
#[derive(Default)]
pub(crate) struct Digest {
    hasher: Sha256,
}

impl Digest {
    /// Adds a part.
    pub(crate) fn part(&mut self, part: impl AsRef<[u8]>) -> &mut Self {
        let part = part.as_ref();
        self.hasher.update((part.len() as u64).to_le_bytes());
        self.hasher.update(part);
        self
    }

    /// The digest of all parts. Resets `self` to no parts.
    pub(crate) fn digest(&mut self) -> [u8; 16] {
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(self.hasher.finalize_reset()) {
            *to = from;
        }
        digest
    }

    /// The digest as 32 lower-case hexadecimal digits. Resets `self` to no parts.
    pub(crate) fn hexadecimal(&mut self) -> String {
        hexadecimal(&self.digest())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' - 10 + value });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Digests [`Hash`](std::hash::Hash) values. Unlike the standard hashers, it gives the same result on machines of any
/// word size.
impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_i64(value as i64);
    }

    /// The first half of the digest as a little-endian number; [`Digest::digest`] returns all of it.
    fn finish(&self) -> u64 {
        let mut digest = Self { hasher: self.hasher.clone() };
        let [low @ .., _, _, _, _, _, _, _, _] = digest.digest();
        u64::from_le_bytes(low)
    }
}
