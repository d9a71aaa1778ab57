use super::KeyedHash;
use super::pending::{Event, PendingId, Store};
use crate::event::Slot;
use crate::rule::{JoinStep, RulePlan, Rules};

/// Looks for the chains that an event completes.
///
/// From the event's own step it goes along the links to the other steps. What it places must fit what is placed
/// already: the identity, every shared name, the order of times, and the window. So each chain is found once, when the
/// last of its events has come, whichever that is.
pub(super) struct Search<'a> {
    pending: &'a Store,
    hash: &'a KeyedHash,
    rules: &'a Rules,
    /// How many more events may be looked at.
    left: usize,
    cut: bool,
}

/// A chain that is being put together: an event, or none yet, for each step of the rule.
struct Draft<'a> {
    rule: &'a RulePlan,
    joins: &'a [JoinStep],
    identity: &'a str,
    placed: Vec<Option<(PendingId, Event<'a>)>>,
    complete: Vec<Vec<PendingId>>,
}

impl<'a> Search<'a> {
    /// A search that looks at no more than `most` events.
    pub(super) fn new(pending: &'a Store, hash: &'a KeyedHash, rules: &'a Rules, most: usize) -> Self {
        Self { pending, hash, rules, left: most, cut: false }
    }

    /// Whether the search ended before it had seen everything.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    /// The chains in which `new` is `step`, each as its events in the order of the rule's steps.
    pub(super) fn completed_by(&mut self, new: PendingId, step: usize) -> Vec<Vec<PendingId>> {
        let (Some((rule, plan)), Some(event)) = (self.rules.step(step), self.pending.event(new)) else {
            return Vec::new();
        };
        let mut placed = vec![None; rule.rule.steps.len()];
        if let Some(place) = placed.get_mut(plan.position) {
            *place = Some((new, event));
        }
        let identity = event.context().identity;
        let mut draft = Draft { rule, joins: &plan.joins, identity, placed, complete: Vec::new() };
        self.extend(&mut draft, 0);
        draft.complete
    }

    fn extend(&mut self, draft: &mut Draft<'a>, joined: usize) {
        let Some(join) = draft.joins.get(joined) else {
            let chain: Vec<_> = draft.placed.iter().flatten().map(|(id, _)| *id).collect();
            if !draft.complete.contains(&chain) {
                draft.complete.push(chain);
            }
            return;
        };
        let Some(from) = draft.event(join.from) else { return };
        let Some((earliest, latest)) = draft.times_for(join.to) else { return };
        for value in from.values_of(join.key.0) {
            for id in self.pending.find(self.hash, draft.identity, join.key.1, value, earliest..=latest) {
                if self.left == 0 {
                    self.cut = true;
                    return;
                }
                self.left -= 1;
                let Some(event) = self.pending.event(id) else { continue };
                if !draft.fits(id, event, join) {
                    continue;
                }
                draft.place(join.to, Some((id, event)));
                self.extend(draft, joined + 1);
                draft.place(join.to, None);
            }
        }
    }
}

impl<'a> Draft<'a> {
    fn event(&self, position: usize) -> Option<Event<'a>> {
        self.placed.get(position)?.map(|(_, event)| event)
    }

    fn place(&mut self, position: usize, event: Option<(PendingId, Event<'a>)>) {
        if let Some(place) = self.placed.get_mut(position) {
            *place = event;
        }
    }

    /// The first and last time that an event at `position` may have, given those placed. Seconds tie: equal times are
    /// in order, and the link says which came first.
    fn times_for(&self, position: usize) -> Option<(i64, i64)> {
        let times = || (0..).zip(&self.placed).filter_map(|(at, placed)| placed.map(|(_, event)| (at, event.time)));
        let first = times().map(|(_, time)| time).min()?;
        let last = times().map(|(_, time)| time).max()?;
        let not_before = times().filter(|(at, _)| *at < position).map(|(_, time)| time).max();
        let not_after = times().filter(|(at, _)| *at > position).map(|(_, time)| time).min();
        let earliest = last.saturating_sub(self.rule.within);
        let latest = first.saturating_add(self.rule.within);
        Some((
            not_before.map_or(earliest, |time| time.max(earliest)),
            not_after.map_or(latest, |time| time.min(latest)),
        ))
    }

    fn fits(&self, id: PendingId, event: Event<'a>, join: &JoinStep) -> bool {
        event.is_step(self.rule.first_step + join.to)
            && event.context().identity == self.identity
            && !self.placed.iter().flatten().any(|(placed, _)| *placed == id)
            && self.share(event, join.from, join.key.0, join.key.1)
            && join.also.iter().all(|(other, there, here)| self.share(event, *other, *there, *here))
    }

    fn share(&self, event: Event<'a>, other: usize, there: Slot, here: Slot) -> bool {
        self.event(other)
            .is_some_and(|other| other.values_of(there).any(|value| event.values_of(here).any(|same| same == value)))
    }
}
