//! A chain under construction.

use hashbrown::HashSet;

use super::join::Completion;
use super::pending::PendingId;
use super::pending_event::PendingEvent;
use crate::rule::{Binding, JoinOrder, JoinStep, KeyName, RulePlan, StepPlan};
use crate::util::invariant::Invariant as _;
use crate::util::packed::PackedStr;

/// A chain under construction: for each step of the rule the event placed there, if any.
pub(super) struct Draft<'a> {
    pub rule: &'a RulePlan,
    pub steps: &'a [StepPlan],
    pub order: &'a JoinOrder,
    pub identity: u32,
    pub placed: Vec<Option<(PendingId, PendingEvent<'a>)>>,
    /// For each name of the key, the value that was looked up.
    pub chosen: Vec<Option<PackedStr<'a>>>,
    /// The keys of the placed events that no chain without an exception has been found for.
    pub keys: Vec<Key<'a>>,
    /// The hashes of the keys found, with their exceptions.
    pub found: HashSet<u64>,
    pub completed: Vec<Completion>,
}

pub(super) type Key<'a> = Vec<PackedStr<'a>>;

impl<'a> Draft<'a> {
    pub(super) fn event(&self, position: usize) -> Option<PendingEvent<'a>> {
        self.placed.get(position)?.map(|(_, event)| event)
    }

    /// The step that a join looks for, as an index into [`crate::rule::Rules::steps`].
    pub(super) fn at(&self, join: &JoinStep) -> usize {
        self.rule.first_step + join.to
    }

    /// The event of the last required step, and its time.
    pub(super) fn last(&self) -> (PendingId, i64) {
        let last = self.placed.get(self.rule.key.last).copied().flatten();
        let (id, event) = last.invariant("the last step is placed before the key is determined");
        (id, event.time)
    }

    pub(super) fn place(&mut self, position: usize, event: Option<(PendingId, PendingEvent<'a>)>) {
        if let Some(place) = self.placed.get_mut(position) {
            *place = event;
        }
    }

    pub(super) fn choose(&mut self, name: Option<usize>, value: Option<PackedStr<'a>>) {
        if let Some(chosen) = name.and_then(|name| self.chosen.get_mut(name)) {
            *chosen = value;
        }
    }

    /// The earliest and latest time that an event at `position` may have, given the placed events. Timestamps may have
    /// a resolution of one second, so equal times count as in order; the link proves which came first.
    pub(super) fn times_for(&self, position: usize) -> Option<(i64, i64)> {
        let times = || (0..).zip(&self.placed).filter_map(|(at, placed)| placed.map(|(_, event)| (at, event.time)));
        let ordered = self.rule.rule.ordered;
        let first = times().map(|(_, time)| time).min()?;
        let last = times().map(|(_, time)| time).max()?;
        let not_before = times().filter(|(at, _)| ordered && *at < position).map(|(_, time)| time).max();
        let not_after = times().filter(|(at, _)| ordered && *at > position).map(|(_, time)| time).min();
        let earliest = last.saturating_sub(self.rule.within);
        let latest = first.saturating_add(self.rule.within);
        Some((
            not_before.map_or(earliest, |time| time.max(earliest)),
            not_after.map_or(latest, |time| time.min(latest)),
        ))
    }

    pub(super) fn binding(&self, position: usize, binding: usize) -> Option<&'a Binding> {
        self.steps.get(position)?.bindings.get(binding)
    }

    /// The values that the placed events give for a name of the key: the least of those they share, or each value of a
    /// name that no other step shares.
    pub(super) fn values_for(&self, name: &KeyName) -> Vec<PackedStr<'a>> {
        let values = |(position, binding): (usize, usize)| {
            Some(self.event(position)?.values_of(&self.binding(position, binding)?.slots))
        };
        let mut found = values(name.binding).unwrap_or_default();
        if let Some(shared) = name.partner.map(|partner| values(partner).unwrap_or_default()) {
            let shared: HashSet<_> = shared.into_iter().collect();
            found.retain(|value| shared.contains(value));
            found.truncate(1);
        }
        found
    }

    /// Whether an event that was looked up by `value` is a candidate for `join.to`. Hashes may collide.
    pub(super) fn is_candidate(&self, event: PendingEvent<'a>, join: &JoinStep, value: Option<PackedStr<'a>>) -> bool {
        let here = join.by.and_then(|by| self.binding(join.to, by.here));
        event.is_step(self.at(join))
            && event.identity().0 == self.identity
            && here.is_none_or(|here| value.is_some_and(|value| event.has(&here.slots, value)))
    }
}
