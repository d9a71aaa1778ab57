//! What the steps of a call ask of its events, worked out once for all of them.

use crate::event::Slot;
use crate::rule::{Rules, step_bit};
use crate::util::invariant::Invariant as _;
use crate::util::sorted;

/// What steps store of an event, and how others find it. It follows from the steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The slots that the steps bind, in order.
    pub slots: Vec<SlotPlan>,
    /// The steps that others find by identity alone.
    pub by_identity: Vec<ByIdentity>,
    /// The steps, as bits; see [`step_bit`].
    pub bits: u64,
}

/// What steps ask of the values of a slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotPlan {
    pub slot: Slot,
    /// Whether all values are needed, because a join or a finding's key uses them.
    pub all: bool,
    /// The keys of the bindings by which others find the event.
    pub keys: Vec<u16>,
    /// The keys of the bindings that a join compares with those.
    pub partners: Vec<u16>,
}

/// A step that others find by identity alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByIdentity {
    pub step: usize,
    /// Whether it also shares names with others, and so is only worth finding once another event shares a value.
    pub linked: bool,
}

impl Plan {
    /// The plan of an event that matches `steps`.
    #[cold]
    pub(super) fn of(rules: &Rules, steps: &[usize]) -> Self {
        let mut plan = Self::default();
        for (step, step_plan) in steps.iter().filter_map(|step| Some((*step, rules.step(*step)?.1))) {
            plan.bits |= step_bit(step);
            if step_plan.found_by_identity {
                plan.by_identity.push(ByIdentity { step, linked: step_plan.linked });
            }
            for binding in &step_plan.bindings {
                for slot in &binding.slots {
                    let slot = plan.slot_mut(*slot);
                    slot.all |= binding.joins || binding.in_key;
                    if binding.joins {
                        sorted::insert(&mut slot.keys, binding.key);
                        rules.partners(binding.key).iter().for_each(|key| sorted::insert(&mut slot.partners, *key));
                    }
                }
            }
        }
        plan
    }

    /// The plan of a slot, which is added if there is none.
    fn slot_mut(&mut self, slot: Slot) -> &mut SlotPlan {
        let place = self.slots.partition_point(|known| known.slot < slot);
        if self.slots.get(place).is_none_or(|known| known.slot != slot) {
            self.slots.insert(place, SlotPlan { slot, all: false, keys: Vec::new(), partners: Vec::new() });
        }
        self.slots.get_mut(place).invariant("the slot was added")
    }

    /// The plan of the slot with this number. State that was saved under other rules may have values that no step binds.
    pub(super) fn slot(&self, number: u16) -> Option<(usize, &SlotPlan)> {
        let place = self.slots.binary_search_by_key(&number, |slot| slot.slot.number()).ok()?;
        Some((place, self.slots.get(place)?))
    }

    /// The memory that it takes besides its own size, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of_slot = |slot: &SlotPlan| size_of_val(&*slot.keys) + size_of_val(&*slot.partners);
        size_of_val(&*self.slots) + size_of_val(&*self.by_identity) + self.slots.iter().map(of_slot).sum::<usize>()
    }
}
