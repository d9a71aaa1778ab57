use std::borrow::Cow;

use crate::chain::{Attribution, Matched, PendingEvent};
use crate::rule::{Binding, StepPlan};
use crate::util::packed::PackedStr;
use crate::vocab::IdentityKey;

/// One event of a finding, wherever it was kept.
pub(crate) struct Evidence<'a> {
    pub step: &'a StepPlan,
    pub event_id: Cow<'a, str>,
    pub service: &'a str,
    pub action: &'a str,
    pub time: i64,
    pub attribution: Attribution<'a>,
    /// The exceptions that hold for the event.
    pub exceptions: &'a [u16],
    /// The values of the step's bindings.
    pub values: Vec<(&'a Binding, Vec<Cow<'a, str>>)>,
}

impl<'a> Evidence<'a> {
    /// The evidence that an event gives as it passes.
    pub(crate) fn of_event(step: &'a StepPlan, matched: &Matched<'a>, keys: &[IdentityKey]) -> Self {
        let event = matched.event;
        let values = step.bindings.iter().map(|binding| {
            let values = event.values.distinct(&binding.slots);
            (binding, values.into_iter().map(Cow::Borrowed).collect())
        });
        Self {
            step,
            event_id: Cow::Borrowed(matched.report_id),
            service: &event.service,
            action: &event.action,
            time: matched.time,
            attribution: Attribution::of(event, keys),
            exceptions: matched.exceptions,
            values: values.collect(),
        }
    }

    /// The evidence that an event gives that was kept.
    pub(crate) fn of_pending(step: &'a StepPlan, event: PendingEvent<'a>) -> Self {
        let texts = |binding: &'a Binding| event.values_of(&binding.slots).into_iter().map(PackedStr::text).collect();
        let values = step.bindings.iter().map(|binding| (binding, texts(binding))).collect();
        Self {
            step,
            event_id: event.id(),
            service: event.service,
            action: event.action,
            time: event.time,
            attribution: event.attribution(),
            exceptions: event.exceptions,
            values,
        }
    }
}
