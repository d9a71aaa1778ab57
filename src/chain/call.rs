use super::interner::Share;
use super::plan::Plan;
use super::{KeyedHash, Matched};
use crate::rule::Rules;
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
    /// What the steps ask of an event.
    pub plan: Plan,
}

impl Call {
    pub(super) fn of(rules: &Rules, matched: &Matched<'_>) -> Self {
        Self {
            service: (*matched.event.service).into(),
            action: (*matched.event.action).into(),
            outcome: matched.event.outcome,
            steps: matched.steps.into(),
            exceptions: matched.exceptions.into(),
            plan: Plan::of(rules, matched.steps),
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
        let Self { service, action, outcome: _, steps, exceptions, plan } = self;
        service.len() + action.len() + size_of_val(&**steps) + size_of_val(&**exceptions) + plan.bytes()
    }
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
