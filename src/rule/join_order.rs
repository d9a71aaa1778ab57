//! In which order the steps of a chain are looked for.

use super::StepPlan;

/// One join: from a step that is already placed to one that is not.
#[derive(Clone, Debug)]
pub(crate) struct JoinStep {
    /// The step that is looked for, by its position in the rule.
    pub to: usize,
    /// A step that is placed, by its position.
    pub from: usize,
    /// The name that the two share, by its place in their bindings; `None` where only the identity joins them.
    pub by: Option<Shared>,
    /// What `to` shares besides with steps that are placed, each with the step's position.
    pub also: Vec<(usize, Shared)>,
}

/// A name that two steps bind, by its place in the bindings of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// In the step that is placed.
    pub there: usize,
    /// In the step that is looked for.
    pub here: usize,
}

/// The order once `start` is placed: links before identity alone, required steps before optional ones. `None` where some
/// step cannot be reached. An optional start completes nothing, so it has no order.
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

/// The joining names that two steps share.
fn shared(steps: &[&StepPlan], from: usize, to: usize) -> Vec<Shared> {
    let (Some(from), Some(to)) = (steps.get(from), steps.get(to)) else { return Vec::new() };
    let mut shared = Vec::new();
    for (there, left) in from.bindings.iter().enumerate().filter(|(_, binding)| binding.joins) {
        let same = to.bindings.iter().position(|right| right.joins && right.name == left.name);
        shared.extend(same.map(|here| Shared { there, here }));
    }
    shared
}
