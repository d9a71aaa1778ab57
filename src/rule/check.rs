//! Validation of rules and exceptions, beyond what deserialisation checks.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::exception::Exception;
use super::{Rule, Step};
use crate::vocab::Error;

/// Maximum number of steps of a rule. A search considers each of them from each other.
const MAX_STEPS: usize = 64;

/// Maximum number of techniques of a rule. Findings carry them.
const MAX_ATTACK: usize = 64;

/// Maximum length of an id, in bytes. Annotations carry ids.
const MAX_ID: usize = 128;

/// Checks the id of a rule, step or exception: lower-case letters, digits and hyphens, not starting with a hyphen.
pub(super) fn id(id: &str, at: &str) -> Result<(), Error> {
    let well_formed = !id.is_empty()
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !id.starts_with('-');
    if id.len() > MAX_ID {
        return Err(Error::config(at, format!("an id has at most {MAX_ID} bytes, this one has {}", id.len())));
    }
    if well_formed {
        return Ok(());
    }
    Err(Error::config(at, format!("{id:?} is not a valid id: expected lower-case letters, digits and hyphens")))
}

/// Checks one rule. Errors name it by `at`, its path in the configuration.
#[cold]
pub(super) fn rule(rule: &Rule, at: &str) -> Result<(), Error> {
    if rule.steps.len() > MAX_STEPS {
        let why = format!("a rule has at most {MAX_STEPS} steps, this one has {}", rule.steps.len());
        return Err(Error::config(format!("{at}.steps"), why));
    }
    let required = rule.steps.iter().filter(|step| step.is_required()).count();
    if required == 0 {
        return Err(Error::config(format!("{at}.steps"), "expected at least one step that is not optional"));
    }
    if rule.steps.len() > 1 && required == 1 {
        let why = "a chain needs at least two steps that are not optional";
        return Err(Error::config(format!("{at}.steps"), why));
    }
    if rule.steps.len() > 1 && rule.within.is_none() {
        return Err(Error::config(at, "a rule of several steps needs `within`, the longest time they may take"));
    }
    if rule.attack.len() > MAX_ATTACK {
        let why = format!("a rule names at most {MAX_ATTACK} techniques, this one names {}", rule.attack.len());
        return Err(Error::config(format!("{at}.attack"), why));
    }
    for (number, attack) in rule.attack.iter().enumerate() {
        let is_tactic =
            |id: &str| id.strip_prefix("TA").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if attack.tactic.as_deref().is_some_and(|id| !is_tactic(id)) {
            let why = "expected the id of a tactic, such as TA0010";
            return Err(Error::config(format!("{at}.attack[{number}].tactic"), why));
        }
    }
    if rule.identity.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::config(format!("{at}.identity"), "expected at least one key"));
    }
    let mut ids = BTreeSet::new();
    for (position, step) in rule.steps.iter().enumerate() {
        let at = format!("{at}.steps[{position}]");
        self::id(&step.id, &format!("{at}.id"))?;
        if !ids.insert(step.id.as_str()) {
            return Err(Error::config(format!("{at}.id"), format!("there is already a step {:?}", step.id)));
        }
        self::step(rule, step, &at)?;
    }
    names(rule, at)
}

/// Checks one step of `rule`.
#[cold]
fn step(rule: &Rule, step: &Step, at: &str) -> Result<(), Error> {
    if step.actions.is_empty() {
        return Err(Error::config(format!("{at}.actions"), "expected at least one action"));
    }
    for (number, action) in step.actions.iter().enumerate() {
        let plain =
            !action.is_empty() && action.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if !plain {
            let why = format!("{action:?} is not a valid action: expected ASCII without spaces, \" or \\");
            return Err(Error::config(format!("{at}.actions[{number}]"), why));
        }
    }
    if step.absent && step.optional {
        return Err(Error::config(format!("{at}.absent"), "`absent` and `optional` exclude each other"));
    }
    let shares = |other: &&Step| other.is_required() && step.bind.keys().any(|name| other.bind.contains_key(name));
    if step.absent && !rule.steps.iter().any(|other| shares(&other)) {
        let why = "an absent step must bind a name that a required step binds";
        return Err(Error::config(format!("{at}.bind"), why));
    }
    if step.each.is_some() && rule.steps.len() > 1 {
        return Err(Error::config(format!("{at}.each"), "`each` is for rules of one step"));
    }
    if step.each.is_some() && rule.per.is_some() {
        return Err(Error::config(format!("{at}.each"), "`each` and `per` exclude each other"));
    }
    Ok(())
}

/// Checks that every joining name is bound by two steps, every listed resource by one, and every name that
/// distinguishes findings by a required one.
#[cold]
fn names(rule: &Rule, at: &str) -> Result<(), Error> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in rule.steps.iter().flat_map(|step| step.bind.keys()) {
        *counts.entry(name).or_default() += 1;
    }
    for (number, name) in rule.join.iter().flatten().enumerate() {
        if counts.get(name.as_str()).copied().unwrap_or_default() < 2 {
            let why = format!("fewer than two steps bind {name:?}: nothing can join on it");
            return Err(Error::config(format!("{at}.join[{number}]"), why));
        }
    }
    for (number, name) in rule.per.iter().flatten().enumerate() {
        let at = format!("{at}.per[{number}]");
        if !rule.steps.iter().any(|step| step.is_required() && step.bind.contains_key(name)) {
            return Err(Error::config(at, format!("no required step binds {name:?}")));
        }
        if rule.per.iter().flatten().take(number).any(|other| other == name) {
            return Err(Error::config(at, format!("{name:?} is already listed")));
        }
    }
    match rule.resources.keys().find(|name| !counts.contains_key(name.as_str())) {
        Some(name) => Err(Error::config(format!("{at}.resources.{name}"), "no step binds this name")),
        None => Ok(()),
    }
}

/// Checks one exception against the ids of the rules and of the exceptions before it, which it is added to. Errors name it by `at`.
#[cold]
pub(super) fn exception(
    exception: &Exception,
    rules: &HashSet<String>,
    others: &mut HashSet<String>,
    at: &str,
) -> Result<(), Error> {
    id(&exception.id, &format!("{at}.id"))?;
    if !others.insert(exception.id.clone()) {
        return Err(Error::config(format!("{at}.id"), format!("there is already an exception {:?}", exception.id)));
    }
    match exception.rules.iter().find(|id| !rules.contains(*id)) {
        Some(id) => Err(Error::config(format!("{at}.rules"), format!("there is no rule {id:?}"))),
        None => Ok(()),
    }
}

impl Rule {
    /// The names that steps join on: those in [`join`](Self::join), else every name that more than one step binds, in
    /// alphabetical order.
    ///
    /// ```
    /// let rules = catena::built_in()?;
    /// let rule = rules.iter().find(|rule| rule.id == "aws-snapshot-staging").unwrap();
    /// assert_eq!(rule.joining_names(), ["snapshot", "volume"]);
    /// # Ok::<(), catena::Error>(())
    /// ```
    pub fn joining_names(&self) -> Vec<&str> {
        let bound = |name: &str| self.steps.iter().filter(|step| step.bind.contains_key(name)).count();
        match &self.join {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => {
                let names = self.steps.iter().flat_map(|step| step.bind.keys());
                let names: BTreeSet<_> = names.map(String::as_str).filter(|name| bound(name) > 1).collect();
                names.into_iter().collect()
            }
        }
    }
}
