//! Short names for long things: the first 128 bits of a SHA-256. The same everywhere and for ever, and not to be made to
//! collide by whoever chooses the content.

use std::fmt::Write as _;
use std::hash::Hasher;

use sha2::{Digest as _, Sha256};

/// Digests content part by part; each part is delimited, so that no two lists of parts give the same.
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

    /// The digest of all parts.
    pub(crate) fn digest(&mut self) -> [u8; 16] {
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(self.hasher.finalize_reset()) {
            *to = from;
        }
        digest
    }

    /// The digest as 32 hexadecimal digits.
    pub(crate) fn hexadecimal(&mut self) -> String {
        self.digest().iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// What is hashed, digested: the same on machines of any word size, as the standard hashers are not.
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

    /// The first half of the digest; [`Digest::digest`] gives the whole.
    fn finish(&self) -> u64 {
        let mut digest = Self { hasher: self.hasher.clone() };
        let [low @ .., _, _, _, _, _, _, _, _] = digest.digest();
        u64::from_le_bytes(low)
    }
}
