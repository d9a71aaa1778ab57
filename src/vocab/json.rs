//! Reads JSON written by hand: configurations and rules. Errors give the location as a path, because people look for a
//! member's name, not for a column.

use std::io::Read as _;
use std::sync::Arc;

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;

use super::Error;
use crate::util::invariant::Invariant as _;

/// Deserializes a JSON text.
///
/// # Errors
///
/// [`Error::InvalidConfig`] with the path to the invalid value.
pub(crate) fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| {
        let path = path_at(text, error.line(), error.column());
        let reason = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = reason.strip_suffix(&place).unwrap_or(&reason).to_owned();
        Error::InvalidConfig { path, reason, source: Some(Arc::new(error)) }
    })
}

/// Deserializes a JSON text that the build script has compressed.
pub(crate) fn read_embedded<T: DeserializeOwned>(gzip: &[u8]) -> Result<T, Error> {
    let mut json = String::new();
    GzDecoder::new(gzip).read_to_string(&mut json).invariant("what the build script compressed is text");
    read_json(&json)
}

/// The path to the value at `line` and `column`, or to the value that ends there, such as `rules[0].steps[1].actions`.
/// Empty for the whole text. Lines and columns are counted from 1; columns are in bytes.
fn path_at(text: &str, line: usize, column: usize) -> String {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (before + column).min(text.len());
    let mut path: Vec<Level> = Vec::new();
    let mut rest = text.as_bytes().get(..end).unwrap_or_default();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' => path.push(Level::Member(None)),
            b'[' => path.push(Level::Element(0)),
            b'}' | b']' => {
                path.pop();
            }
            b',' => match path.last_mut() {
                Some(Level::Element(at)) => *at += 1,
                Some(Level::Member(name)) => *name = None,
                None => {}
            },
            b'"' => {
                let length = string_length(rest);
                if let Some(Level::Member(name @ None)) = path.last_mut() {
                    *name = rest.get(..length).map(|name| String::from_utf8_lossy(name).into_owned());
                }
                rest = rest.get(length + 1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    let mut written = String::new();
    for level in path {
        match level {
            Level::Member(None) => {}
            Level::Member(Some(name)) if written.is_empty() => written = name,
            Level::Member(Some(name)) => written = written + "." + &name,
            Level::Element(at) => written = written + "[" + &at.to_string() + "]",
        }
    }
    written
}

/// An object or array that encloses a position.
enum Level {
    /// An object, with the name of the current member once it has been read.
    Member(Option<String>),
    /// An array, with the index of the current element.
    Element(usize),
}

/// The length in bytes of a string's content. `text` begins after the opening quote.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match text.get(at) {
            None | Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::path_at;

    #[test]
    fn a_position_is_named_by_the_members_that_lead_to_it() {
        let text = "{\"mode\":\"x\",\n \"limits\": {\"pending\": -1}, \"rules\": [{\"id\": \"a,]}\\\"\"}, {\"steps\": [[], {\"a\": 1}]}]}";
        let at = |part: &str| {
            let offset = text.find(part).unwrap() + part.len();
            let line = text[..offset].matches('\n').count() + 1;
            path_at(text, line, offset - text[..offset].rfind('\n').map_or(0, |at| at + 1))
        };
        for (part, path) in [
            ("{", ""),
            ("\"x\"", "mode"),
            ("-1", "limits.pending"),
            ("-1}", "limits"),
            ("\"a,]}\\\"\"", "rules[0].id"),
            ("\"a,]}\\\"\"}", "rules[0]"),
            ("[[]", "rules[1].steps[0]"),
            ("\"a\": 1", "rules[1].steps[1].a"),
            ("1}]}]}", ""),
        ] {
            assert_eq!(at(part), path, "{part}");
        }
    }
}
