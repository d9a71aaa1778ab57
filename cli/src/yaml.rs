//! YAML and JSON files of the user, with the places of their parts for error messages.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::CliError;
use super::suggest::in_plain_words;

/// A file, and the JSON that it stands for.
pub struct Document {
    pub name: String,
    pub json: Value,
    parts: Part,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| CliError::usage(format!("cannot read {name}: {error}")))?;
        Self::parse(name, &text).map_err(CliError::usage)
    }

    /// Parses a text. Errors name the file, the line and the column.
    pub fn parse(name: String, text: &str) -> Result<Self, String> {
        let fail = |error: serde_saphyr::Error| {
            let location = error.location().map(|at| format!("{}:{}:", at.line(), at.column()));
            let message = error.without_snippet().to_string();
            let message = message.strip_prefix("error: ").unwrap_or(&message);
            // The place stands before the message already.
            let message =
                message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(message, |(_, rest)| rest);
            let message = match message {
                several if several.starts_with("multiple YAML documents") => "expected one document, found several",
                cycle if cycle.starts_with("recursive references") => "an alias must not be inside what it stands for",
                message => message,
            };
            let asides = [" at line ", ", set DuplicateKeyPolicy"];
            let message = asides.iter().fold(message, |message, aside| message.split(aside).next().unwrap_or(message));
            format!("{name}:{} {}", location.unwrap_or_default(), in_plain_words(message))
        };
        let json = serde_saphyr::from_str(text).map_err(fail)?;
        let parts = serde_saphyr::from_str(text).map_err(fail)?;
        Ok(Self { name, json, parts })
    }

    /// A message about the part at a path such as `rules[0].steps[1].actions`: `FILE:LINE:COLUMN: PATH: REASON`. If there is no
    /// such part, it names the place of the nearest one around it.
    pub fn problem(&self, path: &str, reason: &str) -> String {
        let place = self.parts.find(path).map(|at| format!("{}:{}:", at.line(), at.column())).unwrap_or_default();
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        format!("{}:{place} {path}{}", self.name, in_plain_words(reason))
    }
}

/// The places of the parts of a value.
#[derive(Debug)]
enum Part {
    Scalar,
    List(Vec<Spanned<Part>>),
    /// Each member with the place of its name.
    Members(Vec<(Spanned<String>, Part)>),
}

impl Part {
    /// The place of the part at a path, or of the deepest part on the way to it.
    fn find(&self, path: &str) -> Option<Location> {
        let (mut part, mut place) = (self, None);
        for name in path.replace('[', ".[").split('.').filter(|name| !name.is_empty()) {
            let element = name.strip_prefix('[').and_then(|number| number.strip_suffix(']')?.parse::<usize>().ok());
            match (part, element) {
                (Self::List(elements), Some(at)) => {
                    let Some(element) = elements.get(at) else { break };
                    (part, place) = (&element.value, Some(element.referenced));
                }
                (Self::Members(members), None) => {
                    let Some((name, value)) = members.iter().find(|(known, _)| known.value == name) else { break };
                    (part, place) = (value, Some(name.referenced));
                }
                _ => break,
            }
        }
        place
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

macro_rules! scalars {
    ($($visit:ident($kind:ty)),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Part, E> {
            Ok(Part::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_i128(i128),
        visit_u128(u128),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::Scalar)
    }

    fn visit_none<E>(self) -> Result<Part, E> {
        Ok(Part::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        Part::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Part, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Part::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Part::Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_placed_at_the_deepest_part_of_its_path() {
        let text = "id: x\nsteps:\n  # one\n  - id: one\n    actions: [A, {B: 1}]\n    bind:\n      key: p\n  - id: two\n    actions:\n      - B\n      - C\n";
        let document = Document::parse("r.yaml".to_owned(), text).expect("it is YAML");
        for (path, place) in [
            ("", ""),
            ("id", "1:1:"),
            ("steps", "2:1:"),
            ("steps[0].id", "4:5:"),
            ("steps[0].actions[1]", "5:18:"),
            ("steps[0].actions[1].B", "5:19:"),
            ("steps[0].bind.key", "7:7:"),
            ("steps[1].actions[1]", "11:9:"),
            ("steps[1].missing", "8:5:"),
            ("nowhere", ""),
        ] {
            let told = document.problem(path, "why");
            assert!(told.starts_with(&format!("r.yaml:{place} ")), "{path}: {told}");
        }
    }

    #[test]
    fn invalid_yaml_is_reported_with_line_and_column() {
        for (text, expected) in [
            ("mode: enrich\nrules: [\n", "c.yaml:2:8: unclosed bracket '['"),
            ("mode: enrich\n  x: 1\n", "c.yaml:2:4: mapping values are not allowed in this context"),
            ("a: 1\na: 2\n", "c.yaml:2:1: duplicate mapping key: a"),
            ("---\na: 1\n---\na: 2\n", "c.yaml:4:1: expected one document, found several"),
            ("a: &a [*a]\n", "c.yaml:1:8: an alias must not be inside what it stands for"),
        ] {
            assert_eq!(Document::parse("c.yaml".to_owned(), text).err().as_deref(), Some(expected));
        }
    }
}
