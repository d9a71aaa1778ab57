use hashbrown::HashSet;

use super::KeyedHash;
use super::draft::{Draft, Key};
use super::pending::{PendingId, Store};
use super::pending_event::PendingEvent;
use crate::rule::{JoinStep, Rules, Shared, StepPlan};
use crate::util::invariant::Invariant as _;
use crate::util::packed::PackedStr;

/// A chain: one event per step of the rule, `None` for an optional step without one.
pub(crate) type Chain = Vec<Option<PendingId>>;

/// A finding that an event completes, with the first chain found for it.
#[derive(Debug)]
pub(crate) struct Completion {
    pub chain: Chain,
    /// The value of each name in the rule's [`FindingKey`](crate::rule::FindingKey); empty if the finding is that of
    /// the last step's event.
    pub key: Vec<String>,
    /// The exception that holds for all events of required steps.
    pub exception: Option<u16>,
}

/// Above this many values, build a hash set instead of scanning.
const MAX_SCANNED: usize = 8;

/// Maximum findings of one rule that one event may complete. As many as an identity may have pending events, by default.
const MAX_COMPLETIONS: usize = 4_096;

/// The number of candidates that a search may try for each rule, whatever the identity has left.
const CANDIDATES_PER_RULE: usize = 16;

/// As many lookups, values or bytes of an event cost as much as a candidate.
const LOOKUPS_PER_CANDIDATE: usize = 4;
const VALUES_PER_CANDIDATE: usize = 16;
const BYTES_PER_CANDIDATE: usize = 512;

/// As many candidates that were tried before, and are found again by another value, count as one.
const REPEATS_PER_CANDIDATE: usize = 64;

/// Searches for the chains that an event completes.
///
/// Starting at the event's own step, the search follows the rule's joins to the other steps. A candidate must agree
/// with the events already placed in identity, every shared name, order of times, and window. Once the steps that
/// determine the finding's key are placed, one chain is enough. So each finding is found on arrival of the last event of
/// its first chain, whichever step that is.
pub(super) struct Search<'a> {
    pending: &'a Store,
    hash: &'a KeyedHash,
    rules: &'a Rules,
    /// The event that the chains are to have.
    new: PendingId,
    /// The keys of the bindings under which other events have one of its values.
    shared: &'a [u16],
    /// The steps of its identity's events, as bits.
    steps: u64,
    /// Candidates that may be tried beyond those allowed for each rule.
    allowance: usize,
    /// Candidates that may still be tried for this rule.
    left_for_rule: usize,
    /// The number of candidates that were found again by another value.
    repeats: usize,
    cut: bool,
}

impl<'a> Search<'a> {
    /// A search for the chains that `new` is part of, which other events share values with under the keys `shared`. It tries
    /// at most `allowance` candidates more than the few allowed for each rule.
    pub(super) fn new(
        pending: &'a Store,
        hash: &'a KeyedHash,
        rules: &'a Rules,
        (new, shared): (PendingId, &'a [u16]),
        allowance: usize,
    ) -> Self {
        let steps = pending.event(new).map_or(0, |event| pending.steps(event.identity().0));
        Self { pending, hash, rules, new, shared, steps, allowance, left_for_rule: 0, repeats: 0, cut: false }
    }

    /// What is left of the allowance.
    pub(super) fn allowance(&self) -> usize {
        self.allowance
    }

    /// The findings that the event completes as `step`, and whether the search ran out of candidates before it was complete.
    pub(super) fn completed_by(&mut self, step: usize) -> (Vec<Completion>, bool) {
        let new = self.new;
        let (Some((rule, plan)), Some(event)) = (self.rules.step(step), self.pending.event(new)) else {
            return (Vec::new(), false);
        };
        let (identity, _) = event.identity();
        let steps = self.rules.steps.get(rule.first_step..).unwrap_or_default();
        let steps = steps.get(..rule.rule.steps.len()).invariant("a rule has its steps");
        let mut placed = vec![None; steps.len()];
        if let Some(place) = placed.get_mut(plan.position) {
            *place = Some((new, event));
        }
        let mut draft = Draft {
            rule,
            steps,
            order: &plan.joins,
            identity,
            placed,
            chosen: vec![None; rule.key.names.len()],
            keys: Vec::new(),
            found: HashSet::new(),
            completed: Vec::new(),
        };
        self.left_for_rule = CANDIDATES_PER_RULE;
        self.cut = false;
        if plan.joins.direct.iter().all(|join| self.has_candidate(&draft, *join)) {
            self.extend(&mut draft, 0);
        }
        (draft.completed, self.cut)
    }

    /// Whether there may be an event for each other step that a chain needs. `false` is certain, and nearly always the answer.
    #[inline]
    pub(super) fn may_complete(&self, plan: &StepPlan) -> bool {
        !plan.optional
            && self.steps & plan.others == plan.others
            && plan.direct.iter().all(|key| self.shared.contains(key))
    }

    /// Counts work that costs as much as `candidates`; `false` if it may not be done.
    fn spend(&mut self, candidates: usize) -> bool {
        let for_rule = candidates.min(self.left_for_rule);
        match self.allowance.checked_sub(candidates - for_rule) {
            Some(left) => {
                self.left_for_rule -= for_rule;
                self.allowance = left;
            }
            None => self.cut = true,
        }
        !self.cut
    }

    /// Counts a candidate, and returns it if it may be tried. An event with much content costs more.
    fn candidate(&mut self, id: PendingId) -> Option<PendingEvent<'a>> {
        let event = self.pending.event(id)?;
        self.spend(1 + event.content().len() / BYTES_PER_CANDIDATE).then_some(event)
    }

    /// Counts the lookup of a value, the `number`th of several.
    fn spend_lookup(&mut self, number: usize) -> bool {
        self.spend(usize::from(number % LOOKUPS_PER_CANDIDATE == LOOKUPS_PER_CANDIDATE - 1))
    }

    /// Whether any event may be placed by a join, given the event that the search started from.
    fn has_candidate(&mut self, draft: &Draft<'a>, join: usize) -> bool {
        let Some(join) = draft.order.joins.get(join) else { return false };
        let lookups = self.lookups(draft, join);
        lookups.into_iter().enumerate().any(|(number, value)| {
            let mut candidates = self.candidates(draft, join, value);
            self.spend_lookup(number)
                && candidates.any(|id| self.candidate(id).is_some_and(|event| draft.is_candidate(event, join, value)))
        })
    }

    /// Places each candidate that fits the next join, and recurses. Returns whether the rest of the chain exists, if
    /// that is all that is asked at this join.
    fn extend(&mut self, draft: &mut Draft<'a>, joined: usize) -> bool {
        let order = draft.order;
        if joined == order.keyed && !self.determine_keys(draft) {
            return false;
        }
        let Some(join) = order.joins.get(joined).filter(|_| joined < order.required) else {
            return self.complete(draft);
        };
        let exists_is_enough = joined >= order.keyed;
        // An event that shares several values is tried once: the first of them is the least, as the key requires.
        let lookups = self.lookups(draft, join);
        let several = lookups.len() > 1;
        let mut tried = HashSet::new();
        for (number, value) in lookups.into_iter().enumerate() {
            if !self.spend_lookup(number) {
                return false;
            }
            for id in self.candidates(draft, join, value) {
                if several && tried.contains(&id) {
                    self.repeats += 1;
                    if self.repeats.is_multiple_of(REPEATS_PER_CANDIDATE) && !self.spend(1) {
                        return false;
                    }
                    continue;
                }
                let event = self.candidate(id);
                if self.cut {
                    return false;
                }
                let Some(event) = event.filter(|event| draft.is_candidate(*event, join, value)) else { continue };
                if several {
                    tried.insert(id);
                }
                if !self.fits(draft, id, event, join) {
                    continue;
                }
                draft.place(join.to, Some((id, event)));
                draft.choose(join.key, value);
                let complete = self.extend(draft, joined + 1);
                draft.place(join.to, None);
                draft.choose(join.key, None);
                if (complete && exists_is_enough) || self.cut {
                    return complete;
                }
            }
        }
        false
    }

    /// The values to look up for a join, least first: `None` for a lookup by identity alone.
    fn lookups(&mut self, draft: &Draft<'a>, join: &JoinStep) -> Vec<Option<PackedStr<'a>>> {
        let Some(from) = draft.event(join.from) else { return Vec::new() };
        match join.by.and_then(|by| draft.binding(join.from, by.there)) {
            Some(there) => {
                let values: Vec<_> = from.values_of(&there.slots).into_iter().map(Some).collect();
                if self.spend(values.len() / VALUES_PER_CANDIDATE) { values } else { Vec::new() }
            }
            None => vec![None],
        }
    }

    /// The candidates of one lookup: those nearest in time to what is placed first.
    fn candidates(
        &self,
        draft: &Draft<'a>,
        join: &JoinStep,
        value: Option<PackedStr<'a>>,
    ) -> impl Iterator<Item = PendingId> + use<'a> {
        let (earliest, latest) = draft.times_for(join.to).unwrap_or_default();
        let times = earliest..=latest;
        let binding = join.by.and_then(|by| draft.binding(join.to, by.here));
        let latest_first = draft.rule.rule.ordered && join.to < join.from;
        let slots = match (binding, value) {
            (Some(here), Some(value)) => self.pending.find(self.hash, draft.identity, here, value, times),
            _ => self.pending.find_step(self.hash, draft.identity, draft.at(join), times),
        };
        let pending = self.pending;
        let count = slots.len();
        let at = move |number: usize| if latest_first { count - 1 - number } else { number };
        (0..count).filter_map(move |number| pending.id(*slots.get(at(number))?))
    }

    /// Determines the keys that the placed events give and no chain was found for; `false` if there are none.
    fn determine_keys(&mut self, draft: &mut Draft<'a>) -> bool {
        let names = draft.rule.key.names.iter().zip(&draft.chosen);
        let values: Vec<_> =
            names.map(|(name, chosen)| chosen.map_or_else(|| draft.values_for(name), |one| vec![one])).collect();
        let mut keys: Vec<Key<'a>> = vec![Vec::new()];
        // No key is made from an absent value.
        if values.iter().all(|values| !values.is_empty()) {
            for values in values {
                let longer = |key: &Key<'a>, value| key.iter().copied().chain([value]).collect();
                let all = keys.iter().flat_map(|key| values.iter().map(move |value| longer(key, *value)));
                keys = all.take(MAX_COMPLETIONS + 1).collect();
                self.cut |= keys.len() > MAX_COMPLETIONS;
            }
        }
        // One key is part of the candidate's cost.
        if !self.spend(keys.len() - 1) {
            return false;
        }
        keys.retain(|key| !draft.found.contains(&self.key_hash(draft, key, None)));
        self.cut |= draft.completed.len() >= MAX_COMPLETIONS;
        draft.keys = keys;
        !draft.keys.is_empty() && draft.completed.len() < MAX_COMPLETIONS
    }

    fn key_hash(&self, draft: &Draft<'a>, key: &Key<'a>, exception: Option<u16>) -> u64 {
        let (last, time) = draft.last();
        // See `finding::key_time`: a finding of values is one a day, any other belongs to its event.
        let when = if key.is_empty() { last.unique().to_le_bytes() } else { super::day_of(time).to_le_bytes() };
        let exception = exception.map_or([0xFF; 4], |exception| u32::from(exception).to_le_bytes());
        let parts: Vec<_> = [&when[..], &exception[..]].into_iter().chain(key.iter().map(|value| value.0)).collect();
        self.hash.of(&parts)
    }

    /// Records the placed events as a complete chain. Returns whether no exception holds for it, and no absent step's event is
    /// there.
    fn complete(&mut self, draft: &mut Draft<'a>) -> bool {
        let exception = self.exception(draft);
        let Some(chain) = self.with_optional(draft) else { return false };
        for key in std::mem::take(&mut draft.keys) {
            let hash = self.key_hash(draft, &key, exception);
            if draft.found.insert(hash) {
                let chain = chain.clone();
                let texts = key.iter().map(|value| value.text().into_owned()).collect();
                draft.completed.push(Completion { chain, key: texts, exception });
            }
            draft.keys.push(key);
        }
        exception.is_none()
    }

    /// The placed events, and the first event that fits each optional step. `None` if there is one for an absent step.
    fn with_optional(&mut self, draft: &mut Draft<'a>) -> Option<Chain> {
        let order = draft.order;
        let optional = order.joins.get(order.required..).unwrap_or_default();
        for join in optional {
            let fitting = self.lookups(draft, join).into_iter().find_map(|value| {
                let mut candidates = self.candidates(draft, join, value);
                candidates.find_map(|id| {
                    let event = self.candidate(id)?;
                    let fits = draft.is_candidate(event, join, value) && self.fits(draft, id, event, join);
                    fits.then_some((id, event))
                })
            });
            draft.place(join.to, fitting);
        }
        let is_there = |join: &JoinStep| {
            draft.event(join.to).is_some() && draft.steps.get(join.to).is_some_and(|step| step.absent)
        };
        let is_excluded = optional.iter().any(is_there);
        let chain = draft.placed.iter().map(|placed| placed.map(|(id, _)| id)).collect();
        for join in optional {
            draft.place(join.to, None);
        }
        (!is_excluded).then_some(chain)
    }

    /// The first exception that applies to the rule and holds for all placed events.
    fn exception(&self, draft: &Draft<'a>) -> Option<u16> {
        let mut events = draft.placed.iter().flatten().map(|(_, event)| event);
        let first = events.next()?.exceptions;
        let mut held =
            first.iter().copied().filter(|place| events.clone().all(|event| event.exceptions.contains(place)));
        held.find(|place| {
            let exception = self.rules.exceptions.get(usize::from(*place));
            exception.is_some_and(|exception| exception.applies_to(&draft.rule.rule.id))
        })
    }

    /// Whether a candidate may be placed at `join.to`.
    fn fits(&mut self, draft: &Draft<'a>, id: PendingId, event: PendingEvent<'a>, join: &JoinStep) -> bool {
        !draft.placed.iter().flatten().any(|(placed, _)| *placed == id)
            && join.also.iter().all(|(other, shared)| self.share(draft, event, join, *other, *shared))
    }

    /// Whether a candidate for `join.to` has a value of the shared name in common with the event placed at `other`.
    fn share(
        &mut self,
        draft: &Draft<'a>,
        event: PendingEvent<'a>,
        join: &JoinStep,
        other: usize,
        shared: Shared,
    ) -> bool {
        let Some(placed) = draft.event(other) else {
            // An absent optional step imposes no condition.
            return true;
        };
        let bindings = (draft.binding(other, shared.there), draft.binding(join.to, shared.here));
        let (Some(there), Some(here)) = bindings else { return false };
        let (values, others) = (event.values_of(&here.slots), placed.values_of(&there.slots));
        if !self.spend((values.len() + others.len()) / VALUES_PER_CANDIDATE) {
            return false;
        }
        if values.len().min(others.len()) <= MAX_SCANNED {
            return others.iter().any(|value| values.contains(value));
        }
        let values: HashSet<_> = values.into_iter().collect();
        others.iter().any(|value| values.contains(value))
    }
}
