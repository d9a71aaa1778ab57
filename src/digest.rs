//! Short names for long things: the first 128 bits of a SHA-256. The same everywhere and for ever, and not to be made to
//! collide by whoever chooses the content.

use std::fmt::Write as _;

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
    pub(crate) fn finish(&mut self) -> [u8; 16] {
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(self.hasher.finalize_reset()) {
            *to = from;
        }
        digest
    }

    /// The digest as 32 hexadecimal digits.
    pub(crate) fn hexadecimal(&mut self) -> String {
        self.finish().iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
