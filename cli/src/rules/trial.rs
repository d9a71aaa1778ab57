use std::path::PathBuf;
use std::time::SystemTime;

use catena::{Config, Correlator, Timestamp};

use super::file::RuleFile;
use crate::terminal::say;
use crate::{CliError, DONE, FAILED};

/// `catena rules test`: runs rules on the examples in their files.
pub fn test(files: &[PathBuf]) -> Result<u8, CliError> {
    let (mut passed, mut failed) = (0, 0);
    for path in files {
        let file = RuleFile::read(path)?;
        if let Some(problem) = file.problem() {
            return Err(CliError::usage(problem));
        }
        let (rule, examples) = (file.rule()?, file.examples()?);
        if examples.is_empty() {
            say!("{}: no examples", file.name())?;
        }
        for example in examples {
            let found = findings(&file, &rule.id, &example.batch)?;
            if found == example.findings {
                passed += 1;
                say!("{}: ok: {}", rule.id, example.name)?;
            } else {
                failed += 1;
                let expected = example.findings;
                say!("{}: FAILED: {}: expected {expected} findings, found {found}", rule.id, example.name)?;
            }
        }
    }
    say!("{passed} passed, {failed} failed")?;
    Ok(if failed == 0 { DONE } else { FAILED })
}

/// The number of findings of a rule, run alone, in a batch.
fn findings(file: &RuleFile, rule: &str, batch: &[u8]) -> Result<usize, CliError> {
    let fail = |error: catena::Error| CliError::usage(format!("{}: {error}", file.name()));
    let mut correlator = file.configuration().parse::<Config>().and_then(Correlator::new).map_err(fail)?;
    let outcome = correlator.process(batch, Timestamp::from(SystemTime::now())).map_err(fail)?;
    if let Some(rejection) = outcome.rejections.first() {
        return Err(CliError::usage(format!(
            "{}: a record in an example was rejected: {}",
            file.name(),
            rejection.detail
        )));
    }
    Ok(outcome.findings.iter().filter(|finding| finding.rule == rule).count())
}
