//! The order in which a search looks for the steps of a chain.

use super::StepPlan;

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
}

/// A name that two steps bind, as its index in the bindings of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// The index in the placed step.
    pub there: usize,
    /// The index in the step to look for.
    pub here: usize,
}

/// The join order from `start`: shared names before identity alone, required steps before optional ones. `None` if a
/// step cannot be reached. Empty for an optional start, which completes no chain.
pub(super) fn join_order(start: usize, steps: &[&StepPlan], unlinked: bool) -> Option<Vec<JoinStep>> {
    if steps.get(start)?.optional {
        return Some(Vec::new());
    }
    let mut placed = vec![start];
    let mut order = Vec::new();
    for optional in [false, true] {
        loop {
            let left = || {
                (0..steps.len())
                    .filter(|to| !placed.contains(to) && steps.get(*to).is_some_and(|step| step.optional == optional))
            };
            let linked = placed
                .iter()
                .find_map(|from| left().find_map(|to| Some((*from, to, *shared(steps, *from, to).first()?))));
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
            order.push(JoinStep { to, from, by, also });
            placed.push(to);
        }
    }
    Some(order)
}

/// The names that two steps join on.
fn shared(steps: &[&StepPlan], from: usize, to: usize) -> Vec<Shared> {
    let (Some(from), Some(to)) = (steps.get(from), steps.get(to)) else { return Vec::new() };
    let mut shared = Vec::new();
    for (there, left) in from.bindings.iter().enumerate().filter(|(_, binding)| binding.joins) {
        let same = to.bindings.iter().position(|right| right.joins && right.name == left.name);
        shared.extend(same.map(|here| Shared { there, here }));
    }
    shared
}
