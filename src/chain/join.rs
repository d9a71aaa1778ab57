use hashbrown::HashSet;

use super::KeyedHash;
use super::pending::{PendingEvent, PendingId, Store};
use crate::rule::{Binding, JoinStep, RulePlan, Rules, Shared, StepPlan};
use crate::util::invariant::Invariant as _;
use crate::util::sorted;

/// A chain: one event per step of the rule, `None` for an optional step without one.
pub(crate) type Chain = Vec<Option<PendingId>>;

/// Index probes allowed per candidate. Events that share several values are found once per value, so probes outnumber
/// candidates.
const PROBES_PER_CANDIDATE: usize = 64;

/// Above this many values, build a hash set instead of scanning.
const MAX_SCANNED: usize = 8;

/// Searches for the chains that an event completes.
///
/// Starting at the event's own step, the search follows the rule's joins to the other steps. A candidate must agree
/// with the events already placed in identity, every shared name, order of times, and window. So each chain is found
/// once, on arrival of its last event, whichever step that is.
pub(super) struct Search<'a> {
    pending: &'a Store,
    hash: &'a KeyedHash,
    rules: &'a Rules,
    /// Candidates that may still be tried.
    candidates_left: usize,
    /// Index probes that may still be made.
    probes: usize,
    cut: bool,
}

/// A chain under construction: for each step of the rule the event placed there, if any.
struct Draft<'a> {
    rule: &'a RulePlan,
    steps: &'a [StepPlan],
    joins: &'a [JoinStep],
    identity: u32,
    placed: Vec<Option<(PendingId, PendingEvent<'a>)>>,
    completed: Vec<Chain>,
}

impl<'a> Search<'a> {
    /// A search that tries at most `max_candidates`.
    pub(super) fn new(pending: &'a Store, hash: &'a KeyedHash, rules: &'a Rules, max_candidates: usize) -> Self {
        Self {
            pending,
            hash,
            rules,
            candidates_left: max_candidates,
            probes: max_candidates.saturating_mul(PROBES_PER_CANDIDATE),
            cut: false,
        }
    }

    /// Whether the search ran out of candidates or probes before it was complete.
    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }

    /// The complete chains in which `new` is `step`, each in the order of the rule's steps.
    pub(super) fn completed_by(&mut self, new: PendingId, step: usize) -> Vec<Chain> {
        let (Some((rule, plan)), Some(event)) = (self.rules.step(step), self.pending.event(new)) else {
            return Vec::new();
        };
        let mut placed = vec![None; rule.rule.steps.len()];
        if let Some(place) = placed.get_mut(plan.position) {
            *place = Some((new, event));
        }
        let (identity, _) = event.identity();
        let steps = self.rules.steps.get(rule.first_step..).invariant("a rule has its steps");
        let mut draft = Draft { rule, steps, joins: &plan.joins, identity, placed, completed: Vec::new() };
        if !plan.optional {
            self.extend(&mut draft, 0);
        }
        // Events that share two values of one name are found once per value.
        sorted::collect(draft.completed.into_iter())
    }

    /// Places each candidate that fits the next join, and recurses.
    fn extend(&mut self, draft: &mut Draft<'a>, joined: usize) {
        let Some(join) = draft.joins.get(joined) else {
            return draft.complete();
        };
        let optional = draft.steps.get(join.to).is_some_and(|step| step.optional);
        let mut found = false;
        for (id, event) in self.candidates(draft, join) {
            let Some(left) = self.candidates_left.checked_sub(1) else {
                self.cut = true;
                break;
            };
            self.candidates_left = left;
            if !draft.fits(id, event, join) {
                continue;
            }
            found = true;
            draft.place(join.to, Some((id, event)));
            self.extend(draft, joined + 1);
            draft.place(join.to, None);
            if optional {
                break;
            }
        }
        if optional && !found {
            self.extend(draft, joined + 1);
        }
    }

    /// The candidates for `join`, without duplicates, within the remaining limits.
    fn candidates(&mut self, draft: &Draft<'a>, join: &JoinStep) -> Vec<(PendingId, PendingEvent<'a>)> {
        let (Some(from), Some((earliest, latest))) = (draft.event(join.from), draft.times_for(join.to)) else {
            return Vec::new();
        };
        let times = earliest..=latest;
        // Half of the remaining probes, so that later joins have some left.
        let allowed = self.probes / 2;
        let mut candidates =
            Candidates::new(self.pending, draft.rule.first_step + join.to, self.candidates_left, allowed);
        match join.by.and_then(|by| Some((draft.binding(join.from, by.there)?, draft.binding(join.to, by.here)?))) {
            Some((there, here)) => {
                for value in from.values_of(&there.slots) {
                    candidates.add(self.pending.find(self.hash, draft.identity, here, value, times.clone()));
                }
            }
            None => candidates.add(self.pending.find_step(self.hash, draft.identity, candidates.step, times)),
        }
        self.probes -= allowed - candidates.probes;
        self.cut |= candidates.probes == 0;
        candidates.events
    }
}

/// The candidates found by probing the index, without duplicates.
struct Candidates<'a> {
    pending: &'a Store,
    /// The step that candidates must match.
    step: usize,
    /// Collection stops at one more than this, which is enough to detect that the search is cut.
    most: usize,
    /// Probes that may still be made.
    probes: usize,
    seen: HashSet<PendingId>,
    events: Vec<(PendingId, PendingEvent<'a>)>,
}

impl<'a> Candidates<'a> {
    fn new(pending: &'a Store, step: usize, most: usize, probes: usize) -> Self {
        Self { pending, step, most, probes, seen: HashSet::new(), events: Vec::new() }
    }

    /// Adds the events of one lookup. The lookup costs one probe, and so does each event.
    fn add(&mut self, ids: impl Iterator<Item = PendingId>) {
        if !self.probe() {
            return;
        }
        for id in ids {
            if self.events.len() > self.most || !self.probe() {
                return;
            }
            if self.seen.insert(id)
                && let Some(event) = self.pending.event(id).filter(|event| event.is_step(self.step))
            {
                self.events.push((id, event));
            }
        }
    }

    fn probe(&mut self) -> bool {
        let left = self.probes.checked_sub(1);
        self.probes = left.unwrap_or_default();
        left.is_some()
    }
}

impl<'a> Draft<'a> {
    fn event(&self, position: usize) -> Option<PendingEvent<'a>> {
        self.placed.get(position)?.map(|(_, event)| event)
    }

    fn place(&mut self, position: usize, event: Option<(PendingId, PendingEvent<'a>)>) {
        if let Some(place) = self.placed.get_mut(position) {
            *place = event;
        }
    }

    /// The earliest and latest time that an event at `position` may have, given the placed events. Timestamps may have
    /// a resolution of one second, so equal times count as in order; the link proves which came first.
    fn times_for(&self, position: usize) -> Option<(i64, i64)> {
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

    fn binding(&self, position: usize, binding: usize) -> Option<&'a Binding> {
        self.steps.get(position)?.bindings.get(binding)
    }

    /// Whether a candidate may be placed at `join.to`.
    fn fits(&self, id: PendingId, event: PendingEvent<'a>, join: &JoinStep) -> bool {
        event.identity().0 == self.identity
            && !self.placed.iter().flatten().any(|(placed, _)| *placed == id)
            && join.by.is_none_or(|shared| self.share(event, join, join.from, shared))
            && join.also.iter().all(|(other, shared)| self.share(event, join, *other, *shared))
    }

    /// Whether a candidate for `join.to` has a value of the shared name in common with the event placed at `other`.
    fn share(&self, event: PendingEvent<'a>, join: &JoinStep, other: usize, shared: Shared) -> bool {
        let Some(placed) = self.event(other) else {
            // An absent optional step imposes no condition.
            return true;
        };
        let bindings = (self.binding(other, shared.there), self.binding(join.to, shared.here));
        let (Some(there), Some(here)) = bindings else { return false };
        let (values, others) = (event.values_of(&here.slots), placed.values_of(&there.slots));
        if values.len().min(others.len()) <= MAX_SCANNED {
            return others.iter().any(|value| values.contains(value));
        }
        let values: HashSet<_> = values.into_iter().collect();
        others.iter().any(|value| values.contains(value))
    }

    /// Records the placed events as a complete chain.
    fn complete(&mut self) {
        self.completed.push(self.placed.iter().map(|placed| placed.map(|(id, _)| id)).collect());
    }
}
