//! What distinguishes one finding of a rule from another.

use super::{Rule, StepPlan};

/// A binding of a rule's step: the step's position in the rule, and the index among its bindings.
pub(crate) type BindingPlace = (usize, usize);

/// The names whose values distinguish one finding of a rule from another; see [`Rule::per`].
#[derive(Clone, Debug)]
pub(crate) struct FindingKey {
    /// Empty: one finding for each event of the last required step.
    pub names: Vec<KeyName>,
    /// The position of the last required step.
    pub last: usize,
}

/// A name in a finding's key.
#[derive(Clone, Debug)]
pub(crate) struct KeyName {
    /// The last required step that binds it.
    pub binding: BindingPlace,
    /// The required step before that, if the steps join on the name: its values are those that the two share.
    pub partner: Option<BindingPlace>,
}

impl FindingKey {
    /// The key of a rule, whose steps are compiled up to their joins. Names that no required step binds are left out;
    /// the check of rules refuses them.
    pub(super) fn of(rule: &Rule, steps: &[StepPlan]) -> Self {
        let required = || steps.iter().filter(|step| !step.optional);
        let last = required().next_back().map_or(0, |step| step.position);
        let place = |step: &StepPlan, name: &str| Some((step.position, step.binding(name)?));
        let key_name = |name: &str| {
            let mut bound = required().rev().filter_map(|step| place(step, name));
            let binding = bound.next()?;
            let joins = steps.get(binding.0).and_then(|step| step.bindings.get(binding.1)).is_some_and(|one| one.joins);
            Some(KeyName { binding, partner: bound.next().filter(|_| joins) })
        };
        let names = match &rule.per {
            Some(names) => names.iter().filter_map(|name| key_name(name)).collect(),
            None => rule
                .joining_names()
                .into_iter()
                .filter_map(key_name)
                .filter(|name| name.binding.0 == last && name.partner.is_some())
                .collect(),
        };
        Self { names, last }
    }

    /// The positions of the steps that determine the key.
    pub(super) fn steps(&self) -> Vec<usize> {
        let names = self.names.iter();
        let binders = names.flat_map(|name| [Some(name.binding), name.partner]).flatten().map(|(step, _)| step);
        crate::util::sorted::collect(binders.chain([self.last]))
    }
}
