//! Suggestions for mistyped names, and errors in plain words.

/// How alike two names must be for a suggestion, from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// The known name that is most like a mistyped one, as the end of a message.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.filter(|(score, _)| *score >= ALIKE).max_by(|one, other| one.0.total_cmp(&other.0));
    best.map(|(_, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}

/// The message of a parser without the words of its programming language, and with a suggestion for a mistyped name.
pub fn in_plain_words(message: &str) -> String {
    for (of, what) in [("unknown field `", "there is no member"), ("unknown variant `", "unknown value")] {
        let Some((name, rest)) = message.strip_prefix(of).and_then(|rest| rest.split_once('`')) else { continue };
        // The names stand in backquotes, with other words in between.
        let known: Vec<_> = rest.split('`').skip(1).step_by(2).collect();
        let advice = match did_you_mean(name, known.iter().copied()) {
            advice if !advice.is_empty() => advice,
            _ if known.is_empty() => String::new(),
            _ => format!("; there are {}", known.join(", ")),
        };
        return format!("{what} `{name}`{advice}");
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the member `{name}` is missing");
    }
    if message == "expected value" {
        return "expected a value".to_owned();
    }
    let message =
        message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")).unwrap_or(message);
    let mut message = message.to_owned();
    for (rust, plain) in [
        ("unit value", "nothing"),
        ("null", "nothing"),
        ("boolean `", "`"),
        ("integer `", "the number `"),
        ("floating point `", "the number `"),
        ("string \"", "the text \""),
        ("expected a sequence", "expected a list"),
        ("sequence,", "a list,"),
        ("map,", "a mapping,"),
        ("expected a string", "expected a text"),
        ("expected a boolean", "expected true or false"),
        ("expected u64", "expected a whole number, not below 0"),
        ("expected u32", "expected a whole number, not below 0"),
        ("expected u16", "expected a whole number, not below 0"),
        ("expected usize", "expected a whole number, not below 0"),
        ("expected i64", "expected a whole number"),
    ] {
        message = message.replacen(rust, plain, 1);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_plain_and_suggest_the_name_that_was_meant() {
        for (message, expected) in [
            (
                "unknown field `pendin`, expected one of `batch_bytes`, `pending`",
                "there is no member `pendin`; did you mean `pending`?",
            ),
            ("unknown field `x`, expected `y` or `z`", "there is no member `x`; there are y, z"),
            (
                "unknown variant `enrichh`, expected one of `enrich`, `filter`",
                "unknown value `enrichh`; did you mean `enrich`?",
            ),
            ("missing field `title`", "the member `title` is missing"),
            (
                "invalid type: string \"many\", expected a mapping of limits",
                "the text \"many\", expected a mapping of limits",
            ),
            ("invalid type: integer `5`, expected a string", "the number `5`, expected a text"),
            ("invalid type: map, expected a sequence", "a mapping, expected a list"),
            ("invalid value: integer `-1`, expected u64", "the number `-1`, expected a whole number, not below 0"),
            ("something else", "something else"),
        ] {
            assert_eq!(in_plain_words(message), expected);
        }
    }

    #[test]
    fn nothing_is_suggested_if_nothing_is_alike() {
        assert_eq!(did_you_mean("x", ["aws-instance-created"]), "");
        assert_eq!(
            did_you_mean("aws-instance-create", ["aws-instance-created", "b"]),
            "; did you mean `aws-instance-created`?"
        );
    }
}
