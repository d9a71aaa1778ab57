//! The names that a rotation gives to files.

use std::ffi::OsStr;
use std::path::Path;

/// Endings of the names of compressed files.
const COMPRESSED: [&str; 6] = ["gz", "zst", "bz2", "xz", "lz4", "Z"];

/// True if a file is compressed, by its name.
pub fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known))
}

/// True if a file called `found` is a rotation of one called `name`: a number, a date or `old` follows, and perhaps the
/// ending of a compressed file.
pub fn is_rotation(name: &OsStr, found: &OsStr) -> bool {
    let Some(rest) = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()) else {
        return false;
    };
    let rest = String::from_utf8_lossy(rest);
    let rest = COMPRESSED.iter().find_map(|ending| rest.strip_suffix(ending)?.strip_suffix('.')).unwrap_or(&rest);
    let is_part =
        |part: &str| part == "old" || part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T' || byte == b'Z');
    rest.starts_with(['.', '-', '_']) && rest.split(['.', '-', '_', ':']).all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_have_a_number_or_a_date() {
        for (found, expected) in [
            ("audit.log", false),
            ("audit.log.1", true),
            ("audit.log.1.gz", true),
            ("audit.log.old", true),
            ("audit.log-20260105", true),
            ("audit.log-2026-01-05T10:00:00Z.zst", true),
            ("audit.log-20260105-1767607200.gz", true),
            ("audit.log.gz", false),
            ("audit.log.md5", false),
            ("audit.log.tmp", false),
            ("audit.log2", false),
            ("other.log.1", false),
        ] {
            assert_eq!(is_rotation(OsStr::new("audit.log"), OsStr::new(found)), expected, "{found}");
        }
    }
}
