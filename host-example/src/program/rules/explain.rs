use std::path::Path;

use catena::{Condition, IdentityWay, OneOrMany, Rule, Step, WantedOutcome};

use super::file::RuleFile;
use crate::program::{DONE, Failure};

/// `catena rules explain`: what a rule sees, in words.
pub fn explain(name: &str) -> Result<u8, Failure> {
    let built_in = catena::built_in().map_err(|error| Failure::new(error.to_string()))?;
    let rule = match built_in.into_iter().find(|rule| rule.id == name) {
        Some(rule) => rule,
        None if Path::new(name).exists() => {
            let file = RuleFile::read(Path::new(name))?;
            match file.problem() {
                Some(problem) => return Err(Failure::usage(problem)),
                None => file.rule()?,
            }
        }
        None => return Err(Failure::usage(format!("there is no rule and no file {name:?}; see `catena rules list`"))),
    };
    print!("{}", in_words(&rule));
    Ok(DONE)
}

fn in_words(rule: &Rule) -> String {
    let mut words = vec![format!("{} (version {}, severity {})", rule.title, rule.version, rule.severity)];
    if !rule.description.is_empty() {
        words.push(rule.description.clone());
    }
    if !rule.confidence_reason.is_empty() {
        words.push(format!("Of lower confidence: {}", rule.confidence_reason));
    }
    words.push(String::new());
    words.push(match rule.steps.len() {
        1 => "A finding for each record that is:".to_owned(),
        count => {
            let order = if rule.ordered { "in this order" } else { "in any order" };
            let within = rule.within.map_or_else(String::new, |within| format!(" within {within}"));
            format!("A finding for each set of {count} records of one identity, {order},{within}:")
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
            words.push(format!("Joined where they agree on: {}.", joined.join(", ")));
        }
        if rule.unlinked {
            words.push("Steps that share no name are joined by identity and time alone.".to_owned());
        }
        let ways = rule.identity.clone().unwrap_or(IdentityWay::DEFAULT.to_vec());
        let ways: Vec<_> = ways.into_iter().map(IdentityWay::as_str).collect();
        words.push(format!("The identity is the first of these that a record has: {}.", ways.join(", ")));
    }
    words.join("\n") + "\n"
}

fn step_in_words(step: &Step) -> String {
    let outcome = match step.outcome {
        WantedOutcome::Success => "that succeeded",
        WantedOutcome::Failure => "that failed",
        WantedOutcome::Any => "whether or not it succeeded",
    };
    let services: Vec<_> = step.service.iter().map(String::as_str).collect();
    let optional = if step.optional { " (optional: it only adds to what the finding tells)" } else { "" };
    let mut words =
        format!("{}: {} of {}, {outcome}{optional}", step.id, step.actions.join(" or "), services.join(" or "));
    for condition in &step.conditions {
        words += &format!("\n     where {}", condition_in_words(condition));
    }
    words
}

fn condition_in_words(condition: &Condition) -> String {
    let field = condition.field.as_ref().map_or("", |field| field.as_str());
    let texts =
        |texts: &OneOrMany<String>| texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" or ");
    let mut test = String::new();
    if let Some(values) = &condition.equals {
        let values: Vec<_> = values.iter().map(|value| format!("{:?}", value.as_str())).collect();
        test = format!("is {}", values.join(" or "));
    }
    for (verb, operand) in [
        ("begins with", &condition.prefix),
        ("ends with", &condition.suffix),
        ("is of the form", &condition.glob),
        ("is in", &condition.cidr),
    ] {
        if let Some(operand) = operand {
            test = format!("{verb} {}", texts(operand));
        }
    }
    for (verb, operand) in [("is below", condition.below), ("is above", condition.above)] {
        if let Some(operand) = operand {
            test = format!("{verb} {operand}");
        }
    }
    if let Some(exists) = condition.exists {
        test = if exists { "is there".to_owned() } else { "is not there".to_owned() };
    }
    let not = if condition.not { "not: " } else { "" };
    let case = if condition.ignore_case { ", upper or lower case" } else { "" };
    format!("{not}{field} {test}{case}")
}
