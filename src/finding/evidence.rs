use std::borrow::Cow;

use crate::chain::{Attribution, Matched, PendingEvent};
use crate::rule::{Binding, StepPlan};
use crate::util::packed::PackedStr;
use crate::vocab::{CallOutcome, IdentityKey};

/// One event of a finding, taken from the current record or from the pending events.
pub(crate) struct Evidence<'a> {
    pub step: &'a StepPlan,
    /// The id that findings report: that of the operation, if several records report one.
    pub event_id: Cow<'a, str>,
    pub service: &'a str,
    pub action: &'a str,
    /// How the call ended.
    pub outcome: CallOutcome,
    /// In ms since 1970.
    pub time: i64,
    pub attribution: Attribution<'a>,
    /// The step's bindings.
    pub values: Vec<Bound<'a>>,
}

/// A binding and its values in one event.
pub(crate) struct Bound<'a> {
    pub binding: &'a Binding,
    /// The distinct values.
    pub values: Vec<Cow<'a, str>>,
    /// The number of values that were not stored.
    pub omitted: usize,
}

impl<'a> Evidence<'a> {
    /// The evidence from the event that is being processed.
    pub(crate) fn of_event(step: &'a StepPlan, matched: &Matched<'a>, keys: &[IdentityKey]) -> Self {
        let event = matched.event;
        let values = step.bindings.iter().map(|binding| {
            let values = event.values.distinct(&binding.slots);
            Bound { binding, values: values.into_iter().map(Cow::Borrowed).collect(), omitted: 0 }
        });
        Self {
            step,
            event_id: Cow::Borrowed(matched.report_id),
            service: &event.service,
            action: &event.action,
            outcome: event.outcome,
            time: matched.time,
            attribution: Attribution::of(event, keys),
            values: values.collect(),
        }
    }

    /// The evidence from a pending event.
    pub(crate) fn of_pending(step: &'a StepPlan, event: PendingEvent<'a>) -> Self {
        let bound = |binding: &'a Binding| Bound {
            binding,
            values: event.values_of(&binding.slots).into_iter().map(PackedStr::text).collect(),
            omitted: event.omitted_of(&binding.slots),
        };
        let values = step.bindings.iter().map(bound).collect();
        Self {
            step,
            event_id: event.id(),
            service: event.service,
            action: event.action,
            outcome: event.outcome,
            time: event.time,
            attribution: event.attribution(),
            values,
        }
    }
}
