use std::path::Path;

use catena::{Condition, IdentityKey, OneOrMany, Operator, Rule, Step, WantedOutcome};

use super::file::RuleFile;
use crate::suggest::did_you_mean;
use crate::terminal::print;
use crate::{CliError, DONE};

/// `catena rules explain`: describes in plain English what a rule matches.
pub fn explain(name: &str) -> Result<u8, CliError> {
    let built_in = catena::built_in().map_err(|error| CliError::new(error.to_string()))?;
    let ids: Vec<_> = built_in.iter().map(|rule| rule.id.clone()).collect();
    let rule = match built_in.into_iter().find(|rule| rule.id == name) {
        Some(rule) => rule,
        None if Path::new(name).exists() => {
            let file = RuleFile::read(Path::new(name))?;
            match file.problem() {
                Some(problem) => return Err(CliError::usage(problem)),
                None => file.rule()?,
            }
        }
        None => {
            let advice = did_you_mean(name, ids.iter().map(String::as_str));
            let advice = if advice.is_empty() { "; see `catena rules list`".to_owned() } else { advice };
            return Err(CliError::usage(format!("no rule or file named {name:?}{advice}")));
        }
    };
    print(format_args!("{}", in_words(&rule)))?;
    Ok(DONE)
}

fn in_words(rule: &Rule) -> String {
    let mut words = vec![format!("{} (version {}, severity {})", rule.title, rule.version, rule.severity)];
    if !rule.description.is_empty() {
        words.push(rule.description.clone());
    }
    if !rule.confidence_reason.is_empty() {
        words.push(format!("Lower confidence: {}", rule.confidence_reason));
    }
    words.push(String::new());
    words.push(match rule.steps.len() {
        1 => "One finding for each record that matches:".to_owned(),
        _ => {
            let count = rule.steps.iter().filter(|step| !step.optional && !step.absent).count();
            let order = if rule.ordered { "in this order" } else { "in any order" };
            let within = rule.within.map_or_else(String::new, |within| format!(" within {within}"));
            format!("A finding for {count} records of the same identity, {order},{within}:")
        }
    });
    for (number, step) in rule.steps.iter().enumerate() {
        words.push(format!("{}. {}", number + 1, step_in_words(step)));
        for (name, paths) in &step.bind {
            let paths: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
            words.push(format!("     {name} = {}", paths.join(" or ")));
        }
    }
    if rule.steps.len() > 1 {
        words.push(String::new());
        let joined = rule.joining_names();
        if !joined.is_empty() {
            words.push(format!("Records are joined if they agree on: {}.", joined.join(", ")));
        }
        if rule.unlinked {
            words.push("Steps that share no name are joined by identity and time only.".to_owned());
        }
        let keys = rule.identity.clone().unwrap_or(IdentityKey::DEFAULT.to_vec());
        let keys: Vec<_> = keys.into_iter().map(IdentityKey::as_str).collect();
        words.push(format!("The identity is the first of these that is present in a record: {}.", keys.join(", ")));
    }
    words.join("\n") + "\n"
}

fn step_in_words(step: &Step) -> String {
    let outcome = match step.outcome {
        WantedOutcome::Success => "successful",
        WantedOutcome::Failure => "failed",
        WantedOutcome::Any => "successful or failed",
    };
    let services: Vec<_> = step.service.iter().map(String::as_str).collect();
    let optional = match (step.optional, step.absent) {
        (true, _) => " (optional: only adds to the finding)",
        (_, true) => " (absent: the chain is not reported if this is known)",
        _ => "",
    };
    let mut words =
        format!("{}: {} of {}, {outcome}{optional}", step.id, step.actions.join(" or "), services.join(" or "));
    for condition in &step.conditions {
        words += &format!("\n     where {}", condition_in_words(condition));
    }
    words
}

fn condition_in_words(condition: &Condition) -> String {
    let field = &condition.field;
    let texts =
        |texts: &OneOrMany<String>| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ");
    let test = match &condition.operator {
        Operator::Equals(values) => {
            let values: Vec<_> = values.iter().map(|value| format!("{:?}", value.as_str())).collect();
            format!("is {}", values.join(" or "))
        }
        Operator::Prefix(prefixes) => format!("starts with {}", texts(prefixes)),
        Operator::Suffix(suffixes) => format!("ends with {}", texts(suffixes)),
        Operator::Glob(patterns) => format!("matches {}", texts(patterns)),
        Operator::Cidr(networks) => format!("is in {}", texts(networks)),
        Operator::Exists(true) => "is present".to_owned(),
        Operator::Exists(false) => "is absent".to_owned(),
        Operator::Below(bound) => format!("is below {bound}"),
        Operator::Above(bound) => format!("is above {bound}"),
        other => format!("matches {other:?}"),
    };
    let not = if condition.not { "not: " } else { "" };
    let case = if condition.ignore_case { ", ignoring case" } else { "" };
    format!("{not}{field} {test}{case}")
}
