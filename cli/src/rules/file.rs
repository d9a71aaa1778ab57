//! Rule files.

use std::path::Path;

use catena::{Correlator, Error, Rule};
use serde_json::{Value, json};

use crate::CliError;
use crate::yaml::Document;

/// A rule file.
pub struct RuleFile {
    document: Document,
}

/// An example in a rule file.
pub struct Example {
    pub name: String,
    /// The expected number of findings of the rule.
    pub findings: usize,
    /// The records, one per line.
    pub batch: Vec<u8>,
}

impl RuleFile {
    pub fn read(path: &Path) -> Result<Self, CliError> {
        Ok(Self { document: Document::read(path)? })
    }

    pub fn document(&self) -> &Document {
        &self.document
    }

    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// The rule in the form that the component takes.
    pub fn json(&self) -> &Value {
        &self.document.json
    }

    /// A configuration with this rule only.
    pub fn configuration(&self) -> String {
        json!({ "built_in_rules": false, "rules": [self.json()] }).to_string()
    }

    /// The error in the rule, if any, with its line and column.
    pub fn problem(&self) -> Option<String> {
        match self.configuration().parse().and_then(Correlator::new) {
            Ok(_) => None,
            Err(Error::InvalidConfig { path, reason, .. }) => {
                let path = path.strip_prefix("rules[0]").unwrap_or(&path).trim_start_matches('.');
                Some(self.document.problem(path, &reason))
            }
            Err(error) => Some(format!("{}: {error}", self.name())),
        }
    }

    /// The rule. [`problem`](Self::problem) must be `None`.
    pub fn rule(&self) -> Result<Rule, CliError> {
        serde_json::from_value(self.json().clone())
            .map_err(|error| CliError::usage(format!("{}: {error}", self.name())))
    }

    /// The rule's examples.
    pub fn examples(&self) -> Result<Vec<Example>, CliError> {
        let Some(examples) = self.json().get("examples") else { return Ok(Vec::new()) };
        let wrong = |at: usize, what: &str| {
            CliError::usage(self.document.problem(&format!("examples[{at}]"), &format!("expected {what}")))
        };
        let list =
            examples.as_array().ok_or_else(|| CliError::usage(self.document.problem("examples", "expected a list")))?;
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
