//! The values directly in a JSON object or array, without parsing them.

use std::ops::Range;

use super::blocks::skip_space;
use super::json_scan::JsonScanner;
use super::sniff::end_of_string;

/// A value in an object or an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// The name of the member between its quotes; `None` for an element.
    pub name: Option<Range<usize>>,
    /// The value: an object, an array or a string with its quotes.
    pub value: Range<usize>,
}

/// The objects, arrays and strings directly in the object or array at `parent` of `bytes`, which is well-formed JSON.
/// Other values are left out.
///
/// Costs one pass over the parent.
pub(crate) fn children(bytes: &[u8], parent: Range<usize>) -> impl Iterator<Item = Child> {
    let Range { start, end } = parent;
    let (mut at, is_object) = (start + 1, bytes.get(start) == Some(&b'{'));
    std::iter::from_fn(move || {
        loop {
            at = skip_space(bytes, at, end);
            if bytes.get(at) == Some(&b',') {
                at = skip_space(bytes, at + 1, end);
            }
            let mut name = None;
            if is_object {
                let closed = end_of_string(bytes, at, end)?;
                name = Some(at + 1..closed - 1);
                let colon = skip_space(bytes, closed, end);
                at = skip_space(bytes, colon + 1, end);
            }
            let from = at;
            match bytes.get(at).filter(|_| at < end)? {
                b'{' | b'[' => at = JsonScanner::new(at).end(bytes, end)?,
                b'"' => at = end_of_string(bytes, at, end)?,
                b'}' | b']' => return None,
                _ => {
                    let rest = bytes.get(at..end)?;
                    at += rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
                    continue;
                }
            }
            return Some(Child { name, value: from..at });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<(Option<&str>, &str)> {
        let children = children(json.as_bytes(), 0..json.len());
        children.map(|child| (child.name.map(|name| &json[name]), &json[child.value])).collect()
    }

    #[test]
    fn objects_arrays_and_strings_are_found_and_numbers_left_out() {
        let json = r#"{ "a" : {"x":[1]}, "n": 1.5, "b":[ {}, "t" ],"t":null,"c":"q\"}" }"#;
        assert_eq!(texts(json), [(Some("a"), r#"{"x":[1]}"#), (Some("b"), r#"[ {}, "t" ]"#), (Some("c"), r#""q\"}""#)]);
        assert_eq!(texts(r#"[1, "a" ,{"b":2}, [3],true]"#), [(None, r#""a""#), (None, r#"{"b":2}"#), (None, "[3]")]);
    }

    #[test]
    fn what_is_not_json_ends_the_search() {
        for json in ["", "{", "[", "{}", "[]", "{,", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, "[,,", "[1"] {
            assert_eq!(texts(json), [], "{json}");
        }
    }
}
