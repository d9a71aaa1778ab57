//! Compiles rules into what the engine runs, with table indices in place of names.

use std::hash::Hash;

use hashbrown::{HashMap, HashSet};

use super::condition::{CompiledCondition, TOO_MANY_PATHS};
use super::exception::{Exception, ExceptionPlan};
use super::finding_key::FindingKey;
use super::join_order::{JoinOrder, join_order};
use super::{Rule, Step, check};
use crate::event::{Event, Path, Projection, Slot, cloud_of};
use crate::util::digest::Digest;
use crate::util::sorted;
use crate::vocab::{Error, IdentityKey, Provider, WantedOutcome};

/// All rules, compiled.
#[derive(Debug)]
pub(crate) struct Rules {
    /// In the order of the configuration, built-in rules first.
    pub rules: Vec<RulePlan>,
    /// The steps of all rules. Those of one rule are adjacent, in the order of the rule.
    pub steps: Vec<StepPlan>,
    pub exceptions: Vec<ExceptionPlan>,
    /// The paths to read from a record.
    pub projection: Projection,
    /// The distinct lists of identity keys, indexed by [`RulePlan::identity`].
    pub identities: Vec<Vec<IdentityKey>>,
    /// The longest window of any chain, in ms.
    pub longest_window: i64,
    /// The steps that name each action, in groups that ask the same question: one answer is that of the group. Actions of
    /// clouds that ignore case are in lower case.
    by_action: HashMap<Box<str>, Vec<Vec<usize>>>,
    /// The rules by id.
    by_id: HashMap<Box<str>, usize>,
    /// The distinct sets of slots that names are bound to, indexed by [`Binding::key`].
    keys: HashMap<Vec<Slot>, u16>,
    /// For each of them, those that a join compares it with.
    partners: Vec<Vec<u16>>,
}

/// One rule, compiled.
#[derive(Debug)]
pub(crate) struct RulePlan {
    pub rule: Rule,
    /// Its index in [`Rules::rules`].
    pub number: usize,
    /// Hash of the rule's meaning: its id, version, identity, window, joins, steps and resources. Severity, confidence
    /// and descriptive members do not count.
    pub fingerprint: [u8; 16],
    /// The index of its first step in [`Rules::steps`].
    pub first_step: usize,
    /// The longest time from the first event to the last, in ms; 0 for a detection without `within`.
    pub within: i64,
    /// The keys of the identity that all steps share, as an index into [`Rules::identities`].
    pub identity: usize,
    /// What distinguishes one finding from another.
    pub key: FindingKey,
    /// Whether several records may report the call of one step.
    pub multi_record_operations: bool,
}

/// One step, compiled.
#[derive(Debug)]
pub(crate) struct StepPlan {
    /// The index of its rule in [`Rules::rules`].
    pub rule: usize,
    /// Its index within the rule.
    pub position: usize,
    pub provider: Provider,
    pub services: Vec<Box<str>>,
    pub outcome: WantedOutcome,
    pub conditions: Vec<CompiledCondition>,
    /// Hash of what the four members above ask.
    question: [u8; 16],
    /// Whether the chain is complete without it: it is optional or absent.
    pub optional: bool,
    /// Whether an event of it keeps the chain from being reported.
    pub absent: bool,
    /// Sorted by name.
    pub bindings: Vec<Binding>,
    /// The index in `bindings` of the name that gives one finding per value.
    pub each: Option<usize>,
    /// The keys of the identity that a chain's steps share, as an index into [`Rules::identities`]. `None` for a detection.
    pub chain: Option<usize>,
    /// The order in which the search reaches the chain's other steps from this one. Empty for a detection, and for an
    /// optional step, which completes no chain.
    pub joins: JoinOrder,
    /// Whether another step finds this one by identity alone, so that its events need that index entry.
    pub found_by_identity: bool,
    /// Whether it joins another required step on a name.
    pub linked: bool,
    /// The other steps that a chain needs, as bits; see [`step_bit`].
    pub others: u64,
    /// The keys of the bindings of other required steps that an event of this one joins directly: each must have an event
    /// with one of its values.
    pub direct: Vec<u16>,
}

/// The bit that stands for a step, and for others: a set of steps in one number.
pub(crate) fn step_bit(step: usize) -> u64 {
    1 << (step as u64 % u64::from(u64::BITS))
}

/// A name bound to the values at some paths.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub name: Box<str>,
    pub slots: Vec<Slot>,
    /// The index of the set of slots in [`Rules::keys`].
    pub key: u16,
    /// Whether the steps join on this name.
    pub joins: bool,
    /// Whether its values distinguish findings.
    pub in_key: bool,
}

impl Rules {
    /// Compiles rules and exceptions. Each comes with its path in the configuration, which errors name. `identity` is
    /// for rules that list no keys of their own.
    #[cold]
    pub(crate) fn compile(
        rules: Vec<(String, Rule)>,
        exceptions: Vec<(String, Exception)>,
        identity: &[IdentityKey],
    ) -> Result<Self, Error> {
        let mut compiled = Self {
            rules: Vec::new(),
            steps: Vec::new(),
            exceptions: Vec::new(),
            projection: Projection::default(),
            identities: Vec::new(),
            longest_window: 0,
            by_action: HashMap::new(),
            by_id: HashMap::new(),
            keys: HashMap::new(),
            partners: Vec::new(),
        };
        let mut rule_ids = HashSet::new();
        for (at, rule) in rules {
            check::id(&rule.id, &format!("{at}.id"))?;
            if !rule_ids.insert(rule.id.clone()) {
                return Err(Error::config(format!("{at}.id"), format!("there is already a rule {:?}", rule.id)));
            }
            compiled.add(rule, identity, &at)?;
        }
        let mut exception_ids = HashSet::new();
        for (at, exception) in exceptions {
            check::exception(&exception, &rule_ids, &mut exception_ids, &at)?;
            compiled.exceptions.push(ExceptionPlan::compile(exception, &mut compiled.projection, &at)?);
        }
        Ok(compiled)
    }

    #[cold]
    fn add(&mut self, rule: Rule, identity: &[IdentityKey], at: &str) -> Result<(), Error> {
        check::rule(&rule, at)?;
        let first_step = self.steps.len();
        for (position, step) in rule.steps.iter().enumerate() {
            let plan = self.step_plan(&rule, position, step, &format!("{at}.steps[{position}]"))?;
            for action in &step.actions {
                let ignore_case = cloud_of(step.provider).actions_ignore_case;
                let action = if ignore_case { action.to_ascii_lowercase() } else { action.clone() };
                let groups = self.by_action.entry(action.into()).or_default();
                let alike = |group: &&mut Vec<usize>| {
                    let first = group.first().and_then(|first| self.steps.get(*first));
                    first.is_some_and(|first| first.question == plan.question)
                };
                match groups.iter_mut().find(alike) {
                    Some(group) => group.push(self.steps.len()),
                    None => groups.push(vec![self.steps.len()]),
                }
            }
            self.steps.push(plan);
        }
        let key = FindingKey::of(&rule, self.steps.get(first_step..).unwrap_or_default());
        for (position, binding) in key.names.iter().map(|name| name.binding) {
            let step = self.steps.get_mut(first_step + position);
            if let Some(binding) = step.and_then(|step| step.bindings.get_mut(binding)) {
                binding.in_key = true;
            }
        }
        if rule.steps.len() > 1 {
            self.order_joins(&rule, first_step, &key, at)?;
            self.add_partners(first_step);
        }
        let within = rule.within.map_or(0, |within| within.as_millis());
        self.longest_window = self.longest_window.max(within);
        let keys = rule.identity.as_deref().unwrap_or(identity);
        let identity = self.identities.iter().position(|known| known == keys).unwrap_or_else(|| {
            self.identities.push(keys.to_vec());
            self.identities.len() - 1
        });
        let chain = Some(identity).filter(|_| rule.steps.len() > 1);
        self.steps.iter_mut().skip(first_step).for_each(|step| step.chain = chain);
        self.by_id.insert(rule.id.as_str().into(), self.rules.len());
        self.rules.push(RulePlan {
            number: self.rules.len(),
            fingerprint: fingerprint(&rule, keys),
            multi_record_operations: rule.steps.iter().any(|step| cloud_of(step.provider).multi_record_operations),
            rule,
            first_step,
            within,
            identity,
            key,
        });
        Ok(())
    }

    #[cold]
    fn step_plan(&mut self, rule: &Rule, position: usize, step: &Step, at: &str) -> Result<StepPlan, Error> {
        let joining: HashSet<_> = rule.joining_names().into_iter().collect();
        let mut bindings = Vec::new();
        for (name, paths) in &step.bind {
            let slots = paths.iter().map(|path| self.slot(path, &format!("{at}.bind.{name}")));
            let slots: Vec<_> = slots.collect::<Result<_, _>>()?;
            let key = self.key(&slots, &format!("{at}.bind.{name}"))?;
            let joins = joining.contains(name.as_str());
            bindings.push(Binding { name: name.as_str().into(), slots, key, joins, in_key: false });
        }
        let mut conditions = Vec::new();
        for (number, condition) in step.conditions.iter().enumerate() {
            conditions.push(CompiledCondition::compile(
                condition,
                &mut self.projection,
                &format!("{at}.where[{number}]"),
            )?);
        }
        let each = step.each.as_ref().map(|name| {
            let place = bindings.iter().position(|binding| *binding.name == **name);
            place.ok_or_else(|| Error::config(format!("{at}.each"), format!("the step does not bind {name:?}")))
        });
        let mut question = Digest::default();
        (step.provider, &step.service, step.outcome, &step.conditions).hash(&mut question);
        Ok(StepPlan {
            question: question.digest(),
            rule: self.rules.len(),
            position,
            provider: step.provider,
            services: step.service.iter().map(|service| service.as_str().into()).collect(),
            outcome: step.outcome,
            conditions,
            optional: !step.is_required(),
            absent: step.absent,
            bindings,
            each: each.transpose()?,
            chain: None,
            joins: JoinOrder::default(),
            found_by_identity: false,
            linked: false,
            others: 0,
            direct: Vec::new(),
        })
    }

    fn slot(&mut self, path: &Path, at: &str) -> Result<Slot, Error> {
        self.projection.add(path).ok_or_else(|| Error::config(at, TOO_MANY_PATHS))
    }

    fn key(&mut self, slots: &[Slot], at: &str) -> Result<u16, Error> {
        let slots = sorted::collect(slots.iter().copied());
        let fresh = u16::try_from(self.keys.len()).map_err(|_| Error::config(at, TOO_MANY_PATHS))?;
        Ok(*self.keys.entry(slots).or_insert(fresh))
    }

    #[cold]
    fn order_joins(&mut self, rule: &Rule, first_step: usize, key: &FindingKey, at: &str) -> Result<(), Error> {
        let steps: Vec<_> = self.steps.iter().skip(first_step).collect();
        let mut orders = Vec::new();
        for start in 0..steps.len() {
            orders.push(join_order(start, &steps, rule.unlinked, key).ok_or_else(|| {
                let why = "not all steps are linked: each must share a bound name with another, so that all are \
                           connected; or set `unlinked: true` to join by identity and time alone";
                Error::config(format!("{at}.steps"), why)
            })?);
        }
        let joins = || orders.iter().flat_map(|order| &order.joins);
        let by_identity = sorted::collect(joins().filter(|join| join.by.is_none()).map(|join| join.to));
        let required = orders.iter().flat_map(|order| order.joins.iter().take(order.required));
        let linked = sorted::collect(required.filter(|join| join.by.is_some()).flat_map(|join| [join.from, join.to]));
        let required: Vec<_> =
            (first_step..).zip(&steps).filter(|(_, step)| !step.optional).map(|(at, _)| at).collect();
        let direct: Vec<_> = orders.iter().enumerate().map(|(start, order)| order.direct_keys(start, &steps)).collect();
        let of_step = self.steps.iter_mut().skip(first_step).enumerate().zip(orders).zip(direct);
        for (((position, step), order), direct) in of_step {
            step.found_by_identity = by_identity.contains(&position);
            step.linked = linked.contains(&position);
            step.joins = order;
            let others = required.iter().filter(|other| **other != first_step + position);
            step.others = others.fold(0, |all, other| all | step_bit(*other));
            step.direct = direct;
        }
        Ok(())
    }

    /// Notes which bindings the joins of the last rule's steps compare.
    fn add_partners(&mut self, first_step: usize) {
        self.partners.resize(self.keys.len(), Vec::new());
        let steps = self.steps.get(first_step..).unwrap_or_default();
        let mut pairs = Vec::new();
        for (at, left) in steps.iter().enumerate() {
            for right in steps.iter().skip(at + 1) {
                for binding in left.bindings.iter().filter(|binding| binding.joins) {
                    let same = right.binding(&binding.name).and_then(|other| right.bindings.get(other));
                    pairs.extend(same.map(|other| (binding.key, other.key)));
                }
            }
        }
        for (left, right) in pairs {
            for (of, partner) in [(left, right), (right, left)] {
                if let Some(partners) = self.partners.get_mut(usize::from(of)) {
                    sorted::insert(partners, partner);
                }
            }
        }
    }

    /// The sets of slots that some join compares with those of a binding's `key`.
    pub(crate) fn partners(&self, key: u16) -> &[u16] {
        self.partners.get(usize::from(key)).map_or(&[], Vec::as_slice)
    }

    /// Every action that a step names.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &str> {
        self.by_action.keys().map(|action| &**action)
    }

    /// Finds the steps that an event matches, as indices into [`Rules::steps`], in order. One hash lookup, then the conditions.
    pub(crate) fn steps_of(&self, event: &Event<'_>, steps: &mut Vec<usize>) {
        steps.clear();
        let groups = self.by_action.get(&*event.action).map_or(&[][..], Vec::as_slice);
        for group in groups {
            let first = group.first().and_then(|first| self.steps.get(*first));
            if first.is_some_and(|first| first.matches(event)) {
                steps.extend_from_slice(group);
            }
        }
        if groups.len() > 1 {
            steps.sort_unstable();
        }
    }

    /// The exceptions that hold for an event at `time` (ms since 1970), as indices into [`Rules::exceptions`].
    pub(crate) fn exceptions_for(&self, event: &Event<'_>, time: i64) -> Vec<u16> {
        let holding = (0..).zip(&self.exceptions).filter(|(_, exception)| exception.holds(event, time));
        holding.map(|(place, _)| place).collect()
    }

    /// The index of the rule with this id.
    pub(crate) fn rule(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The step at an index, with its rule.
    pub(crate) fn step(&self, step: usize) -> Option<(&RulePlan, &StepPlan)> {
        let plan = self.steps.get(step)?;
        Some((self.rules.get(plan.rule)?, plan))
    }
}

impl RulePlan {
    /// Whether the rule is a chain, which has several steps.
    pub(crate) fn is_chain(&self) -> bool {
        self.rule.steps.len() > 1
    }
}

impl StepPlan {
    /// The index of the binding with this name. They are sorted by name.
    pub(super) fn binding(&self, name: &str) -> Option<usize> {
        self.bindings.binary_search_by(|binding| (*binding.name).cmp(name)).ok()
    }

    fn matches(&self, event: &Event<'_>) -> bool {
        self.provider == event.provider
            && self.services.iter().any(|service| **service == *event.service)
            && self.outcome.includes(event.outcome)
            && self.conditions.iter().all(|condition| condition.holds(&event.values))
    }
}

/// See [`RulePlan::fingerprint`].
fn fingerprint(rule: &Rule, identity: &[IdentityKey]) -> [u8; 16] {
    let Rule { id, version, within, ordered, unlinked, join, per, steps, resources, .. } = rule;
    let mut digest = Digest::default();
    (id, version, identity, within, ordered, unlinked, join, steps, resources).hash(&mut digest);
    // So a rule without it has the fingerprint that it had before there was `per`.
    if let Some(per) = per {
        per.hash(&mut digest);
    }
    digest.digest()
}
