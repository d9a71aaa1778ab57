//! The order in which a search looks for the steps of a chain.

use super::{FindingKey, StepPlan};
use crate::util::sorted;

/// The joins of a search from one step to all others.
#[derive(Clone, Debug, Default)]
pub(crate) struct JoinOrder {
    /// Those to required steps, then those to optional ones.
    pub joins: Vec<JoinStep>,
    /// The number of joins to required steps.
    pub required: usize,
    /// The number of joins after which the finding's key is determined. The rest need only exist.
    pub keyed: usize,
    /// The joins that the starting step shares a name with, if there are several: each of them must have a candidate.
    pub direct: Vec<usize>,
}

/// One join: from a step that already has an event to one that does not.
#[derive(Clone, Debug)]
pub(crate) struct JoinStep {
    /// The step to look for, as its position in the rule.
    pub to: usize,
    /// A placed step to join from, as its position in the rule.
    pub from: usize,
    /// The shared name to look up; `None` if identity alone joins the two.
    pub by: Option<Shared>,
    /// The other names that `to` shares with placed steps, each with the position of that step.
    pub also: Vec<(usize, Shared)>,
    /// The name of the finding's key that the looked-up value gives, as an index into [`FindingKey::names`].
    pub key: Option<usize>,
}

/// A name that two steps bind, as its index in the bindings of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The index in the placed step.
    pub there: usize,
    /// The index in the step to look for.
    pub here: usize,
}

impl JoinOrder {
    /// The keys of the bindings that the search looks up values of the starting step under.
    pub(super) fn direct_keys(&self, start: usize, steps: &[&StepPlan]) -> Vec<u16> {
        let direct = self.joins.iter().take(self.required).filter(|join| join.from == start);
        let key = |join: &JoinStep| Some(steps.get(join.to)?.bindings.get(join.by?.here)?.key);
        sorted::collect(direct.filter_map(key))
    }
}

/// The join order from `start`: shared names before identity alone, required steps before optional ones, and later
/// steps before earlier ones, because the last ones determine the finding's key. `None` if a step cannot be reached.
/// Empty for an optional start, which completes no chain.
pub(super) fn join_order(start: usize, steps: &[&StepPlan], unlinked: bool, key: &FindingKey) -> Option<JoinOrder> {
    let mut order = JoinOrder::default();
    if steps.get(start)?.optional {
        return Some(order);
    }
    let mut placed = vec![start];
    for optional in [false, true] {
        loop {
            let left = || {
                (0..steps.len())
                    .rev()
                    .filter(|to| !placed.contains(to) && steps.get(*to).is_some_and(|step| step.optional == optional))
            };
            let linked = left()
                .find_map(|to| placed.iter().find_map(|from| Some((*from, to, *shared(steps, *from, to).first()?))));
            let (from, to, by) = match (linked, left().next()) {
                (Some((from, to, by)), _) => (from, to, Some(by)),
                (None, Some(to)) if unlinked => (start, to, None),
                (None, Some(_)) => return None,
                (None, None) => break,
            };
            let mut also = Vec::new();
            for other in &placed {
                let names = shared(steps, *other, to).into_iter().filter(|name| (*other, Some(*name)) != (from, by));
                also.extend(names.map(|name| (*other, name)));
            }
            let key = by.and_then(|by| {
                let ends = [(from, by.there), (to, by.here)];
                let gives = |name: &super::KeyName| {
                    name.partner.is_some_and(|partner| ends.contains(&partner)) && ends.contains(&name.binding)
                };
                key.names.iter().position(gives)
            });
            order.joins.push(JoinStep { to, from, by, also, key });
            placed.push(to);
        }
        if !optional {
            order.required = order.joins.len();
        }
    }
    let determining = key.steps();
    order.keyed = order.joins.iter().rposition(|join| determining.contains(&join.to)).map_or(0, |last| last + 1);
    let direct = order.joins.iter().take(order.required).enumerate();
    order.direct =
        direct.filter(|(_, join)| join.from == start && join.by.is_some()).map(|(number, _)| number).collect();
    if order.direct.len() == 1 {
        order.direct.clear();
    }
    Some(order)
}

/// The names that two steps join on.
fn shared(steps: &[&StepPlan], from: usize, to: usize) -> Vec<Shared> {
    let (Some(from), Some(to)) = (steps.get(from), steps.get(to)) else { return Vec::new() };
    let mut shared = Vec::new();
    for (there, left) in from.bindings.iter().enumerate().filter(|(_, binding)| binding.joins) {
        let same = to.binding(&left.name);
        shared.extend(same.map(|here| Shared { there, here }));
    }
    shared
}
