//! What a line that is not JSON looks like, for messages.

/// The kind of text that a line looks like. `None` if it cannot be told.
pub fn of_line(line: &[u8]) -> Option<&'static str> {
    let text = line.trim_ascii();
    let contains = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    if text.contains(&0) || text.iter().filter(|byte| byte.is_ascii_control() && **byte != b'\t').count() > 4 {
        return Some("binary data");
    }
    if text.starts_with(b"<?xml") || text.starts_with(b"<Event") {
        return Some("XML");
    }
    if contains(b"CEF:0|") || contains(b"CEF:1|") {
        return Some("CEF");
    }
    if contains(b"LEEF:1.0|") || contains(b"LEEF:2.0|") {
        return Some("LEEF");
    }
    if contains(b"{\"\"") {
        return Some("CSV with JSON in a column");
    }
    let columns = |separator: u8| text.iter().filter(|byte| **byte == separator).count() + 1;
    if columns(b',') > 3 || columns(b';') > 3 || columns(b'\t') > 3 {
        return Some("CSV");
    }
    (text == b"---" || text.ends_with(b":") || text.starts_with(b"- ")).then_some("YAML")
}

#[cfg(test)]
mod tests {
    use super::of_line;

    #[test]
    fn common_kinds_are_told() {
        for (line, kind) in [
            ("eventTime,eventName,eventSource,awsRegion", Some("CSV")),
            ("2026-01-05,\"{\"\"eventName\"\":\"\"RunInstances\"\"}\"", Some("CSV with JSON in a column")),
            ("<?xml version=\"1.0\"?>", Some("XML")),
            ("Jan 5 host CEF:0|Amazon|CloudTrail|1|x|y|3|", Some("CEF")),
            ("\0\u{1}\u{2}", Some("binary data")),
            ("Records:", Some("YAML")),
            ("hello", None),
        ] {
            assert_eq!(of_line(line.as_bytes()), kind, "{line}");
        }
    }
}
