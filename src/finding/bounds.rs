//! Bounds on the size of a finding.

/// Maximum number of entries in a list of a finding.
pub(super) const MAX_LISTED: usize = 64;

/// Maximum length of a finding, in bytes.
const MAX_BODY: usize = 64 << 10;

/// The lengths to which texts are cut, in bytes as written in JSON, until the finding is short enough.
const LENGTHS: [usize; 5] = [4_096, 1_024, 256, 64, 16];

/// The body of a finding, which is JSON without white space. Its longest texts are cut if it would exceed 64 KiB.
pub(super) fn bounded(body: String) -> String {
    let mut shorter = body;
    for length in LENGTHS {
        if shorter.len() <= MAX_BODY {
            break;
        }
        shorter = with_texts_cut(&shorter, length);
    }
    shorter
}

/// The same JSON, with each string of more than `length` bytes cut.
fn with_texts_cut(json: &str, length: usize) -> String {
    let mut shorter = String::with_capacity(MAX_BODY);
    let mut rest = json;
    while let Some((before, from)) = rest.split_once('"') {
        let end = end_of_string(from);
        let (text, after) = from.split_at(end);
        shorter.push_str(before);
        shorter.push('"');
        let kept = text.get(..cut_at(text, length)).unwrap_or_default();
        shorter.push_str(kept);
        if kept.len() < text.len() {
            shorter.push_str("... (");
            shorter.push_str(&(text.len() - kept.len()).to_string());
            shorter.push_str(" more bytes)");
        }
        shorter.push('"');
        rest = after.get(1..).unwrap_or_default();
    }
    shorter.push_str(rest);
    shorter
}

/// The length of the string whose content begins here.
fn end_of_string(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    });
    end.unwrap_or(json.len())
}

/// The last place at or before `length` that is in no character and in no escape sequence.
fn cut_at(text: &str, length: usize) -> usize {
    if text.len() <= length {
        return text.len();
    }
    let mut at = 0;
    while let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let step = match text.get(at + 1..at + 2) {
            _ if character != '\\' => character.len_utf8(),
            // A character beyond U+FFFF is two of these; serde_json writes it as it is.
            Some("u") => 6,
            _ => 2,
        };
        if at + step > length {
            break;
        }
        at += step;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn cut_texts_are_prefixes_and_the_rest_is_unchanged(text in "\\PC*|[\"\\\\\u{0}-\u{1f}é]{0,200}", length in 1..100usize) {
            let body = json!({"a": text, "b": [1, "x", {"c": text}]}).to_string();
            let cut: Value = serde_json::from_str(&with_texts_cut(&body, length)).unwrap();
            let kept = cut["a"].as_str().unwrap();
            prop_assert_eq!(&cut["b"][1], "x");
            prop_assert_eq!(cut["b"][2]["c"].as_str().unwrap(), kept);
            if kept != text {
                let (kept, _) = kept.rsplit_once("... (").unwrap();
                prop_assert!(text.starts_with(kept) && kept.len() <= length);
            }
        }

        #[test]
        fn no_finding_is_longer_than_64_kib(count in 1..120usize, length in 0..20_000usize) {
            let texts = vec!["\u{0}".repeat(length); count];
            let body = bounded(json!({ "texts": texts }).to_string());
            prop_assert!(body.len() <= MAX_BODY, "{} bytes", body.len());
            prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
        }
    }
}
