//! Repairs text that is not Unicode. Callers choose names, tags and user agents, and must not make a record unreadable.

use std::borrow::Cow;

/// The escape of U+FFFD, the replacement character.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// The record with U+FFFD in place of invalid UTF-8 and of `\u` escapes of lone surrogates. `None` if it has neither.
///
/// Serialisers write a lone surrogate as an escape (RFC 8259, section 8.2), and decoders write U+FFFD for it.
pub(super) fn repair(record: &[u8]) -> Option<Vec<u8>> {
    let utf8 = String::from_utf8_lossy(record);
    let surrogates = without_lone_surrogates(utf8.as_bytes());
    match (utf8, surrogates) {
        (_, Some(repaired)) => Some(repaired),
        (Cow::Owned(utf8), None) => Some(utf8.into_bytes()),
        (Cow::Borrowed(_), None) => None,
    }
}

/// The text of a JSON string with its quotes. `None` if it is not a JSON string.
pub(super) fn unescape(string: &[u8]) -> Option<String> {
    serde_json::from_slice(string).or_else(|error| serde_json::from_slice(&repair(string).ok_or(error)?)).ok()
}

fn without_lone_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let mut repaired = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(backslash) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let here = at + backslash;
        at = match surrogate(text, here) {
            // Any other escape is two bytes long, or begins with two that are none.
            None => here + 2,
            Some(Surrogate::High) if matches!(surrogate(text, here + 6), Some(Surrogate::Low)) => here + 12,
            Some(_) => {
                repaired.extend_from_slice(text.get(from..here).unwrap_or_default());
                repaired.extend_from_slice(REPLACEMENT);
                from = here + 6;
                from
            }
        };
    }
    repaired.extend_from_slice(text.get(from..).unwrap_or_default());
    (from > 0).then_some(repaired)
}

enum Surrogate {
    High,
    Low,
}

/// The surrogate that the escape at `at` spells.
fn surrogate(text: &[u8], at: usize) -> Option<Surrogate> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let code = u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    match code {
        0xD800..=0xDBFF => Some(Surrogate::High),
        0xDC00..=0xDFFF => Some(Surrogate::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unicode_is_replaced_and_the_rest_kept() {
        for (text, repaired) in [
            (&br#"{"a":"\ud83d"}"#[..], &br#"{"a":"\ufffd"}"#[..]),
            (br#"{"a":"x\uDC00\ud83dy"}"#, br#"{"a":"x\ufffd\ufffdy"}"#),
            (br#"{"a":"\ud83d\ud83d\ude00"}"#, br#"{"a":"\ufffd\ud83d\ude00"}"#),
            (b"{\"a\":\"\xFF\"}", "{\"a\":\"\u{FFFD}\"}".as_bytes()),
            (b"{\"\\udfff\":\"\xC3\"}", "{\"\\ufffd\":\"\u{FFFD}\"}".as_bytes()),
        ] {
            assert_eq!(repair(text).as_deref(), Some(repaired), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_unicode_is_left_alone() {
        for text in [r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\\ud83d"}"#, r#"{"a":"\\\\udfff\n"}"#, r#"{"a":"\"#, "", "ü"]
        {
            assert_eq!(repair(text.as_bytes()), None, "{text}");
        }
    }
}
