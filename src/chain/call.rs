use super::interner::Share;
use super::{KeyedHash, Matched};
use crate::event::Slot;
use crate::rule::Rules;
use crate::util::sorted;
use crate::vocab::CallOutcome;

/// A call, the steps it matches, and the exceptions that apply to it. There are few distinct ones, unless the rules have
/// many conditions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub service: Box<str>,
    pub action: Box<str>,
    pub outcome: CallOutcome,
    pub steps: Vec<usize>,
    pub exceptions: Vec<u16>,
    /// The slots that its steps bind, in order, each with whether all of its values are needed. They follow from the steps.
    pub slots: Vec<(Slot, bool)>,
}

impl Call {
    pub(super) fn of(rules: &Rules, matched: &Matched<'_>) -> Self {
        Self {
            service: (*matched.event.service).into(),
            action: (*matched.event.action).into(),
            outcome: matched.event.outcome,
            steps: matched.steps.into(),
            exceptions: matched.exceptions.into(),
            slots: slots_of(rules, matched.steps),
        }
    }

    pub(super) fn is_of(&self, matched: &Matched<'_>) -> bool {
        *self.action == *matched.event.action
            && *self.service == *matched.event.service
            && self.outcome == matched.event.outcome
            && self.steps == matched.steps
            && self.exceptions == matched.exceptions
    }

    /// The hash of the call that `matched` is.
    pub(super) fn hash_of(hash: &KeyedHash, matched: &Matched<'_>) -> u64 {
        let event = matched.event;
        hash_parts(hash, [&event.action, &event.service], event.outcome, matched.steps, matched.exceptions)
    }
}

impl Share for Call {
    fn hash(&self, hash: &KeyedHash) -> u64 {
        hash_parts(hash, [&self.action, &self.service], self.outcome, &self.steps, &self.exceptions)
    }

    fn bytes(&self) -> usize {
        let Self { service, action, outcome: _, steps, exceptions, slots } = self;
        service.len() + action.len() + size_of_val(&**steps) + size_of_val(&**exceptions) + size_of_val(&**slots)
    }
}

/// The slots that steps bind, in order. All values of a slot are needed if a join or a finding's key uses them.
pub(super) fn slots_of(rules: &Rules, steps: &[usize]) -> Vec<(Slot, bool)> {
    let plans = steps.iter().filter_map(|step| rules.step(*step));
    let bindings = plans.flat_map(|(_, plan)| &plan.bindings);
    let slots = bindings.flat_map(|binding| binding.slots.iter().map(|slot| (*slot, binding.joins || binding.in_key)));
    let mut slots = sorted::collect(slots);
    // Of each slot the last, which is the one that needs all values if there is one.
    slots.reverse();
    slots.dedup_by_key(|(slot, _)| *slot);
    slots.reverse();
    slots
}

fn hash_parts(
    hash: &KeyedHash,
    [action, service]: [&str; 2],
    outcome: CallOutcome,
    steps: &[usize],
    exceptions: &[u16],
) -> u64 {
    let steps = steps.iter().flat_map(|step| (*step as u64).to_le_bytes());
    let numbers: Vec<u8> = steps.chain(exceptions.iter().flat_map(|exception| exception.to_le_bytes())).collect();
    hash.of(&[action.as_bytes(), service.as_bytes(), outcome.as_str().as_bytes(), &numbers])
}
