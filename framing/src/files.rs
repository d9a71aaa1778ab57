//! Which files hold audit records, by their names and first bytes.

use std::path::Path;

/// Endings of file names that are taken for audit records in a folder.
const ENDINGS: &[&str] = &[".json", ".jsonl", ".ndjson", ".log", ".gz", ".zst", ".bz2", ".xz"];

/// True if the name of a file in a folder is that of audit records: `audit.json.gz`, or `audit.log.2`, the name of a
/// rotated `audit.log`.
pub fn is_record_file(name: &str) -> bool {
    let unrotated = name.rsplit_once('.').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    let name = unrotated.map_or(name, |(name, _)| name);
    !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// True if a file's path is that of a CloudTrail file without audit records: a digest, which proves the integrity of
/// other files, or an insight.
pub fn is_cloudtrail_metadata(path: &Path) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.contains("CloudTrail-Digest") || part.contains("CloudTrail-Insight")
    })
}

/// True if the content is that of a CloudTrail digest, whatever the file's name: the first two members are those of a
/// digest (AWS CloudTrail user guide, "CloudTrail digest file structure"). Nested members and values do not count,
/// because a caller may choose them.
pub fn is_digest(beginning: &[u8]) -> bool {
    let account = after_tokens(beginning, &[b"{", b"\"awsAccountId\"", b":", b"\""]);
    let value = account.and_then(|value| value.get(memchr::memchr(b'"', value)? + 1..));
    value.and_then(|rest| after_tokens(rest, &[b",", b"\"digestStartTime\"", b":"])).is_some()
}

/// The bytes after `tokens`, with optional white space before each; `None` if they do not match.
fn after_tokens<'b>(bytes: &'b [u8], tokens: &[&[u8]]) -> Option<&'b [u8]> {
    tokens.iter().try_fold(bytes, |rest, token| rest.trim_ascii_start().strip_prefix(*token))
}
