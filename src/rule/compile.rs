//! Rules turned into what the engine runs: tables instead of names.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::{Outcome, Path, Provider, Rule, Step};
use crate::Error;
use crate::digest::Digest;
use crate::event::{Projection, Slot};

/// All rules, compiled.
#[derive(Debug)]
pub(crate) struct Rules {
    pub rules: Vec<RulePlan>,
    /// The steps of all rules, those of one rule side by side.
    pub steps: Vec<StepPlan>,
    /// What is read from a record.
    pub projection: Projection,
    /// The longest window of any chain, in ms.
    pub longest_window: i64,
    by_action: HashMap<Box<str>, Vec<usize>>,
}

/// One rule, compiled.
#[derive(Debug)]
pub(crate) struct RulePlan {
    pub rule: Rule,
    /// Tells this very rule from any other, and from other versions of itself.
    pub fingerprint: [u8; 16],
    /// Its first step in [`Rules::steps`].
    pub first_step: usize,
    /// The longest time from first to last, in ms.
    pub within: i64,
}

/// One step, compiled.
#[derive(Debug)]
pub(crate) struct StepPlan {
    /// Its rule in [`Rules::rules`].
    pub rule: usize,
    /// Its place in the rule.
    pub position: usize,
    pub provider: Provider,
    pub service: Box<str>,
    pub outcome: Outcome,
    pub bindings: Vec<Binding>,
    /// The binding that makes a finding for each of its values.
    pub each: Option<Slot>,
    /// How the other steps of the chain are reached from this one, each from those before it. Empty in a detection.
    pub joins: Vec<JoinStep>,
}

/// A name bound to a value.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub name: Box<str>,
    pub slot: Slot,
    /// Whether another step binds the name too.
    pub joins: bool,
}

/// One join: from a step that is already placed to one that is not.
#[derive(Clone, Debug)]
pub(crate) struct JoinStep {
    /// The step that is looked for, by its position in the rule.
    pub to: usize,
    /// A step that is placed, by its position.
    pub from: usize,
    /// What the two share: the value's slot in `from` and in `to`.
    pub key: (Slot, Slot),
    /// What `to` shares besides with steps that are placed: position, slot there, slot in `to`.
    pub also: Vec<(usize, Slot, Slot)>,
}

impl Rules {
    /// Compiles rules, each with the place where it stands, for errors.
    pub(crate) fn compile(rules: Vec<(String, Rule)>) -> Result<Self, Error> {
        let mut compiled = Self {
            rules: Vec::new(),
            steps: Vec::new(),
            projection: Projection::default(),
            longest_window: 0,
            by_action: HashMap::new(),
        };
        let mut ids = BTreeSet::new();
        for (at, rule) in rules {
            check_id(&rule.id, &format!("{at}.id"))?;
            if !ids.insert(rule.id.clone()) {
                return Err(Error::config(format!("{at}.id"), format!("there is already a rule {:?}", rule.id)));
            }
            compiled.add(rule, &at)?;
        }
        Ok(compiled)
    }

    fn add(&mut self, rule: Rule, at: &str) -> Result<(), Error> {
        let shared = shared_names(&rule);
        let number = self.rules.len();
        let first_step = self.steps.len();
        check_rule(&rule, &shared, at)?;
        for (position, step) in rule.steps.iter().enumerate() {
            let bindings = self.bind(step, &shared, &format!("{at}.steps[{position}].bind"))?;
            let each = match &step.each {
                None => None,
                Some(name) => Some(each_slot(&rule, &bindings, name, &format!("{at}.steps[{position}].each"))?),
            };
            for action in &step.actions {
                self.by_action.entry(action.as_str().into()).or_default().push(self.steps.len());
            }
            self.steps.push(StepPlan {
                rule: number,
                position,
                provider: step.provider,
                service: step.service.as_str().into(),
                outcome: step.outcome,
                bindings,
                each,
                joins: Vec::new(),
            });
        }
        if rule.steps.len() > 1 {
            let bindings: Vec<_> = self.steps.iter().skip(first_step).map(|step| step.bindings.clone()).collect();
            for (position, step) in self.steps.iter_mut().skip(first_step).enumerate() {
                step.joins = join_order(position, &bindings).ok_or_else(|| {
                    let why = "every step must bind a name that another step binds too, so that all are linked";
                    Error::config(format!("{at}.steps"), why)
                })?;
            }
        }
        let within = rule.within.map_or(0, |within| within.as_millis());
        self.longest_window = self.longest_window.max(within);
        self.rules.push(RulePlan { fingerprint: fingerprint(&rule)?, rule, first_step, within });
        Ok(())
    }

    fn bind(&mut self, step: &Step, shared: &BTreeSet<&str>, at: &str) -> Result<Vec<Binding>, Error> {
        let bind = |(name, path): (&String, &Path)| {
            let slot = self.projection.add(path).ok_or_else(|| {
                Error::config(format!("{at}.{name}"), "the rules together name more paths than can be told apart")
            })?;
            Ok(Binding { name: name.as_str().into(), slot, joins: shared.contains(name.as_str()) })
        };
        step.bind.iter().map(bind).collect()
    }

    /// The actions that any step names.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.by_action.keys().map(|action| &**action)
    }

    /// The steps that name `action`, whatever else they ask for.
    pub(crate) fn steps_by_action(&self, action: &str) -> &[usize] {
        self.by_action.get(action).map_or(&[], Vec::as_slice)
    }

    /// A step and its rule.
    pub(crate) fn step(&self, step: usize) -> Option<(&RulePlan, &StepPlan)> {
        let plan = self.steps.get(step)?;
        Some((self.rules.get(plan.rule)?, plan))
    }
}

impl RulePlan {
    /// Whether it is a chain of several steps.
    pub(crate) fn is_chain(&self) -> bool {
        self.rule.steps.len() > 1
    }
}

fn check_id(id: &str, at: &str) -> Result<(), Error> {
    let well_formed = !id.is_empty()
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !id.starts_with('-');
    if well_formed {
        return Ok(());
    }
    Err(Error::config(at, format!("{id:?} is no id: expected lower-case letters, digits and hyphens")))
}

fn check_rule(rule: &Rule, shared: &BTreeSet<&str>, at: &str) -> Result<(), Error> {
    if rule.steps.is_empty() {
        return Err(Error::config(format!("{at}.steps"), "expected at least one step"));
    }
    if rule.steps.len() > 1 && rule.within.is_none() {
        return Err(Error::config(at, "a rule of several steps needs `within`, the longest time they may take"));
    }
    let mut ids = BTreeSet::new();
    for (position, step) in rule.steps.iter().enumerate() {
        let at = format!("{at}.steps[{position}]");
        check_id(&step.id, &format!("{at}.id"))?;
        if !ids.insert(step.id.as_str()) {
            return Err(Error::config(format!("{at}.id"), format!("there is already a step {:?}", step.id)));
        }
        if step.actions.is_empty() {
            return Err(Error::config(format!("{at}.actions"), "expected at least one action"));
        }
        for (number, action) in step.actions.iter().enumerate() {
            let plain = !action.is_empty() && action.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
            if !plain || action.contains(['\\', '/']) {
                let why = format!("{action:?} is no action: expected letters, digits and signs, without white space");
                return Err(Error::config(format!("{at}.actions[{number}]"), why));
            }
        }
        let joined = step.bind.keys().any(|name| shared.contains(name.as_str()));
        if rule.steps.len() > 1 && !joined {
            let why = "the step binds no name that another step binds too: nothing links it to the chain";
            return Err(Error::config(at, why));
        }
    }
    let bound: BTreeSet<_> = rule.steps.iter().flat_map(|step| step.bind.keys()).collect();
    match rule.resources.keys().find(|name| !bound.contains(name)) {
        Some(name) => Err(Error::config(format!("{at}.resources.{name}"), "no step binds this name")),
        None => Ok(()),
    }
}

fn each_slot(rule: &Rule, bindings: &[Binding], name: &str, at: &str) -> Result<Slot, Error> {
    if rule.steps.len() > 1 {
        return Err(Error::config(at, "`each` is for rules of one step"));
    }
    let binding = bindings.iter().find(|binding| *binding.name == *name);
    binding.map(|binding| binding.slot).ok_or_else(|| Error::config(at, format!("the step does not bind {name:?}")))
}

/// The names that more than one step binds.
fn shared_names(rule: &Rule) -> BTreeSet<&str> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for name in rule.steps.iter().flat_map(|step| step.bind.keys()) {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect()
}

/// The order in which the other steps are looked for once `start` is placed, nearest links first. `None` where some
/// step cannot be reached.
fn join_order(start: usize, bindings: &[Vec<Binding>]) -> Option<Vec<JoinStep>> {
    let shared = |from: usize, to: usize| {
        let (from, to) = (bindings.get(from)?, bindings.get(to)?);
        let keys: Vec<_> = from
            .iter()
            .filter_map(|left| to.iter().find(|right| right.name == left.name).map(|right| (left.slot, right.slot)))
            .collect();
        Some(keys)
    };
    let mut placed = vec![start];
    let mut order = Vec::new();
    while placed.len() < bindings.len() {
        let (from, to, key) = placed.iter().find_map(|from| {
            let to = (0..bindings.len()).filter(|to| !placed.contains(to));
            to.into_iter().find_map(|to| Some((*from, to, *shared(*from, to)?.first()?)))
        })?;
        let mut also = Vec::new();
        for other in &placed {
            let keys = shared(*other, to)?.into_iter().filter(|pair| (*other, *pair) != (from, key));
            also.extend(keys.map(|(there, here)| (*other, there, here)));
        }
        order.push(JoinStep { to, from, key, also });
        placed.push(to);
    }
    Some(order)
}

fn fingerprint(rule: &Rule) -> Result<[u8; 16], Error> {
    let text = serde_json::to_vec(rule).map_err(|error| Error::config(&rule.id, error.to_string()))?;
    Ok(Digest::default().part(text).finish())
}
