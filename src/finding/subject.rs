use super::Evidence;
use crate::chain::Recurrence;
use crate::rule::{ExceptionPlan, RulePlan};
use crate::util::digest::Digest;

/// A quarter of an hour, in ms: records that report one operation are nearer than that.
const OPERATION: i64 = 900_000;

/// What a finding is about: what its rule names in [`Rule::per`](crate::Rule::per), or the event of its last step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject<'a> {
    /// Names with one value each, of which the finding lists no other value.
    pub values: Vec<(&'a str, &'a str)>,
    /// Whether the finding belongs to the last step's event, and to these values of it.
    pub of_event: bool,
}

impl<'a> Subject<'a> {
    /// The subject of a chain with these values of the rule's key.
    pub(crate) fn of_chain(rule: &'a RulePlan, key: &'a [String], steps: &'a [crate::rule::StepPlan]) -> Self {
        let name = |(name, value): (&crate::rule::KeyName, &'a String)| {
            let (position, binding) = name.binding;
            Some((&*steps.get(rule.first_step + position)?.bindings.get(binding)?.name, value.as_str()))
        };
        Self { values: rule.key.names.iter().zip(key).filter_map(name).collect(), of_event: key.is_empty() }
    }

    /// The subjects of a detection: one for each combination of values that its key names, for each value of
    /// [`Step::each`](crate::Step::each), or one for the event. At most `max`; also returns how many more there are.
    pub(crate) fn of_detection(rule: &RulePlan, evidence: &'a Evidence<'_>, max: usize) -> (Vec<Self>, usize) {
        let bound = |binding: usize| evidence.values.get(binding).filter(|bound| !bound.values.is_empty());
        let keyed: Vec<_> = rule.key.names.iter().filter_map(|name| bound(name.binding.1)).collect();
        if !keyed.is_empty() && keyed.len() == rule.key.names.len() {
            let total = keyed.iter().fold(1_usize, |all, bound| all.saturating_mul(bound.values.len()));
            let mut subjects = vec![Self { values: Vec::new(), of_event: false }];
            for bound in keyed {
                let with = |subject: &Self, value: &'a str| {
                    let values = subject.values.iter().copied().chain([(&*bound.binding.name, value)]).collect();
                    Self { values, of_event: false }
                };
                let longer =
                    subjects.iter().flat_map(|subject| bound.values.iter().map(move |value| with(subject, value)));
                subjects = longer.take(max).collect();
            }
            let more = total.saturating_sub(subjects.len());
            return (subjects, more);
        }
        match evidence.step.each.and_then(bound) {
            Some(bound) => {
                let one = |value: &'a std::borrow::Cow<'_, str>| Self {
                    values: vec![(&*bound.binding.name, &**value)],
                    of_event: true,
                };
                (bound.values.iter().take(max).map(one).collect(), bound.values.len().saturating_sub(max))
            }
            None => (vec![Self { values: Vec::new(), of_event: true }], 0),
        }
    }

    /// The finding's id: a hash of the rule, its version, the subject, and the exception that holds for a chain.
    pub(crate) fn id(&self, rule: &RulePlan, evidence: &[Evidence<'_>], exception: Option<&ExceptionPlan>) -> String {
        let mut digest = Digest::default();
        digest.part(&rule.rule.id).part(rule.rule.version.to_string());
        let last = last(rule, evidence);
        if let Some(last) = last {
            digest.part(last.step.provider.as_str());
            if self.of_event {
                digest.part(last.attribution.account).part(&*last.event_id);
                if rule.multi_record_operations {
                    // The caller may give several operations one id.
                    digest.part(last.time.div_euclid(OPERATION).to_string());
                }
            } else {
                digest.part(last.attribution.identity).part(crate::chain::day_of(last.time).to_string());
            }
        }
        for (name, value) in &self.values {
            digest.part(name).part(value);
        }
        // What an exception holds for must not stand in the way of what it does not hold for.
        if let Some(exception) = exception.filter(|_| rule.is_chain() || !self.of_event || rule.multi_record_operations)
        {
            digest.part("exception").part(&exception.exception.id);
        }
        digest.hexadecimal()
    }

    /// When the finding may be completed again.
    pub(crate) fn recurrence(&self, rule: &RulePlan, evidence: &[Evidence<'_>]) -> Recurrence {
        let time = last(rule, evidence).map_or(0, |last| last.time);
        match self.of_event {
            false => Recurrence::Daily(time),
            true if rule.multi_record_operations => Recurrence::OncePerOperation(time),
            true => Recurrence::Once(time),
        }
    }

    /// The names and values that the steps bind; for a name of the subject, only its value.
    pub(super) fn values<'e>(&'e self, evidence: &'e [Evidence<'_>]) -> impl Iterator<Item = (&'e str, &'e str)> {
        evidence.iter().flat_map(|evidence| &evidence.values).flat_map(move |bound| {
            let name = &*bound.binding.name;
            let one = self.values.iter().find(|(fixed, _)| *fixed == name).map(|(_, value)| *value);
            let all = if one.is_some() { &[] } else { bound.values.as_slice() };
            one.into_iter().chain(all.iter().map(|value| &**value)).map(move |value| (name, value))
        })
    }

    /// Whether a name has one value in the subject.
    pub(super) fn fixes(&self, name: &str) -> bool {
        self.values.iter().any(|(fixed, _)| *fixed == name)
    }
}

/// The evidence of the last required step.
fn last<'e, 'a>(rule: &RulePlan, evidence: &'e [Evidence<'a>]) -> Option<&'e Evidence<'a>> {
    evidence.iter().find(|evidence| evidence.step.position == rule.key.last)
}
