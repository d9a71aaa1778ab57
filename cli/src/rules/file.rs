//! Rule files: YAML, with line numbers for error messages.

use std::fs;
use std::path::Path;

use catena::{Correlator, Error, Rule};
use serde_json::{Value, json};

use crate::CliError;

/// A rule file.
pub struct RuleFile {
    pub name: String,
    text: String,
    /// The rule in the form that the component takes.
    pub json: Value,
}

/// An example in a rule file.
pub struct Example {
    pub name: String,
    /// The expected number of findings of the rule.
    pub findings: usize,
    /// The records, one per line.
    pub batch: Vec<u8>,
}

/// Converts YAML to the JSON that the component takes. Errors name file, line and column.
pub fn to_json(name: &str, text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("{name}: {error}"))
}

impl RuleFile {
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| CliError::new(format!("cannot read {name}: {error}")))?;
        let json = to_json(&name, &text).map_err(CliError::usage)?;
        Ok(Self { name, text, json })
    }

    /// A configuration with this rule only.
    pub fn configuration(&self) -> String {
        json!({ "built_in_rules": false, "rules": [self.json] }).to_string()
    }

    /// The error in the rule, if any, with its line.
    pub fn problem(&self) -> Option<String> {
        match self.configuration().parse().and_then(Correlator::new) {
            Ok(_) => None,
            Err(Error::InvalidConfig { path, reason, .. }) => {
                let path = path.strip_prefix("rules[0]").unwrap_or(&path).trim_start_matches('.');
                let line = line_of(&self.text, path);
                let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
                Some(format!("{}:{line}: {place}{reason}", self.name))
            }
            Err(error) => Some(format!("{}: {error}", self.name)),
        }
    }

    /// The rule. [`problem`](Self::problem) must be `None`.
    pub fn rule(&self) -> Result<Rule, CliError> {
        serde_json::from_value(self.json.clone()).map_err(|error| CliError::usage(format!("{}: {error}", self.name)))
    }

    /// The rule's examples.
    pub fn examples(&self) -> Result<Vec<Example>, CliError> {
        let Some(examples) = self.json.get("examples") else { return Ok(Vec::new()) };
        let wrong = |at: usize, what: &str| {
            let line = line_of(&self.text, &format!("examples[{at}]"));
            CliError::usage(format!("{}:{line}: examples[{at}]: expected {what}", self.name))
        };
        let list =
            examples.as_array().ok_or_else(|| CliError::usage(format!("{}: examples: expected a list", self.name)))?;
        let mut read = Vec::new();
        for (at, example) in list.iter().enumerate() {
            let name = example.get("name").and_then(Value::as_str);
            let findings = example.get("findings").and_then(Value::as_u64);
            let records = example.get("records").and_then(Value::as_array);
            let mut batch = Vec::new();
            for record in records.ok_or_else(|| wrong(at, "`records`, a list of records"))? {
                batch.extend_from_slice(record.to_string().as_bytes());
                batch.push(b'\n');
            }
            read.push(Example {
                name: name.ok_or_else(|| wrong(at, "a `name`"))?.to_owned(),
                findings: findings.ok_or_else(|| wrong(at, "`findings`, the expected number of findings"))? as usize,
                batch,
            });
        }
        Ok(read)
    }
}

/// The best guess at the line of a path in a YAML text: that of the deepest part of the path that is found. Block style
/// is followed by its indentation; everything in a flow-style collection is reported at the line where that begins.
fn line_of(text: &str, path: &str) -> usize {
    let mut line = 0;
    let mut indentation = 0;
    let lines: Vec<&str> = text.lines().collect();
    for part in path.replace('[', ".[").split('.').filter(|part| !part.is_empty()) {
        let element = part.strip_prefix('[').and_then(|part| part.strip_suffix(']')?.parse::<usize>().ok());
        let found = match element {
            Some(element) => nth_element(&lines, line, element),
            None => member(&lines, line, indentation, part),
        };
        let Some((at, inner)) = found else { break };
        (line, indentation) = (at, inner);
    }
    line + 1
}

/// The column at which the content of a line begins, with list dashes counted as white space.
fn column(line: &str) -> Option<usize> {
    let content = line.trim_start_matches([' ', '-']);
    (!content.is_empty() && !content.starts_with('#')).then_some(line.len() - content.len())
}

/// The line of the member `name` at or after line `from`, and the least column of its content.
fn member(lines: &[&str], from: usize, indentation: usize, name: &str) -> Option<(usize, usize)> {
    for (at, line) in lines.iter().enumerate().skip(from) {
        let Some(column) = column(line) else { continue };
        if at > from && column < indentation {
            return None;
        }
        let content = line[column..].trim_start_matches(['"', '\'']);
        let behind = content.strip_prefix(name).map(|rest| rest.trim_start_matches(['"', '\'']));
        if behind.is_some_and(|rest| rest.starts_with(':')) {
            return Some((at, column + 1));
        }
    }
    None
}

/// The line of an element of the list that begins after line `from`, and the column of its content.
fn nth_element(lines: &[&str], from: usize, element: usize) -> Option<(usize, usize)> {
    let is_dash = |line: &str| line.trim_start().starts_with("- ") || line.trim() == "-";
    let flow = lines.get(from).is_some_and(|line| !line.trim_end().ends_with(':') && line.contains(": ["));
    if flow {
        return Some((from, column(lines[from]).unwrap_or_default()));
    }
    let first = (from + 1..lines.len()).find(|at| is_dash(lines[*at]))?;
    let dash = |line: &str| line.len() - line.trim_start().len();
    let depth = dash(lines[first]);
    let same = |at: &usize| is_dash(lines[*at]) && dash(lines[*at]) == depth;
    let at = (first..lines.len()).filter(same).nth(element)?;
    Some((at, column(lines[at]).unwrap_or(depth + 2)))
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn line_of_finds_paths_in_block_style() {
        let text = "id: x\nsteps:\n  # one\n  - id: one\n    actions: [A]\n    bind:\n      key: p\n  - id: two\n    actions:\n      - B\n      - C\n    where:\n      - field: q\n        equals: 1\n";
        for (path, line) in [
            ("", 1),
            ("id", 1),
            ("steps", 2),
            ("steps[0].id", 4),
            ("steps[0].actions[0]", 5),
            ("steps[0].bind.key", 7),
            ("steps[1].id", 8),
            ("steps[1].actions[1]", 11),
            ("steps[1].where[0]", 13),
            ("steps[1].where[0].equals", 14),
            ("steps[1].missing", 8),
        ] {
            assert_eq!(line_of(text, path), line, "{path}");
        }
    }
}
