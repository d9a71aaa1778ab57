//! A pending event: how its values are stored, and the view of it that joins and findings have.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Matched;
use super::attribution::Attribution;
use super::plan::{Plan, SlotPlan};
use crate::event::Slot;
use crate::util::invariant::Invariant as _;
use crate::util::packed::{Decoder, PackedStr, encode_number, encode_text};
use crate::vocab::CallOutcome;

/// Maximum values stored per slot that no join and no finding's key uses; findings only show them (such as the instances of one launch).
const MAX_UNJOINED_VALUES: usize = 64;

/// In the content of an event, a slot's number plus this stands before the number of its values that were not stored.
pub(super) const OMITTED: u64 = 1 << 16;

/// A decoded view of a pending event, for joins and findings.
#[derive(Clone, Copy)]
pub(crate) struct PendingEvent<'a> {
    /// In ms since 1970.
    pub time: i64,
    /// The service that was called.
    pub service: &'a str,
    /// The action that was called.
    pub action: &'a str,
    /// How the call ended.
    pub outcome: CallOutcome,
    pub(super) steps: &'a [usize],
    pub(super) plan: &'a Plan,
    /// The exceptions that apply to it.
    pub exceptions: &'a [u16],
    pub(super) identity: u32,
    /// See [`super::identities::Identities::hash`].
    pub(super) identity_hash: u32,
    pub(super) identity_text: &'a [u8],
    pub(super) call: u32,
    /// Whether it shares a value with another event that it may join.
    pub(super) linked: bool,
    pub(super) attribution: u32,
    pub(super) attribution_text: &'a [u8],
    pub(super) content: &'a [u8],
}

impl<'a> PendingEvent<'a> {
    /// The event's id.
    pub(crate) fn id(self) -> Cow<'a, str> {
        Decoder::new(self.content).packed_text().invariant("a pending event begins with its id")
    }

    /// All values with their slot numbers.
    pub(super) fn values(self) -> impl Iterator<Item = (u16, PackedStr<'a>)> {
        let mut decoder = Decoder::new(self.content);
        let id = decoder.packed();
        std::iter::from_fn(move || {
            id?;
            Some((u16::try_from(decoder.number()?).ok()?, decoder.packed()?))
        })
    }

    /// The distinct values of some slots, sorted by text.
    pub(crate) fn values_of(self, slots: &[Slot]) -> Vec<PackedStr<'a>> {
        let of_slot = |slot: &Slot| {
            let number = slot.number();
            self.values().filter(move |(other, _)| *other == number).map(|(_, value)| value)
        };
        // The values of one slot are stored in this order.
        let mut values = slots.first().map_or(Vec::new(), |slot| of_slot(slot).collect::<Vec<_>>());
        for slot in slots.iter().skip(1) {
            let more: Vec<_> = of_slot(slot).collect();
            if !more.is_empty() {
                values = merge(values, more);
            }
        }
        values
    }

    /// The number of values of some slots that were not stored.
    pub(crate) fn omitted_of(self, slots: &[Slot]) -> usize {
        let mut decoder = Decoder::new(self.content);
        let mut omitted = 0;
        decoder.skip_text();
        while let (Some(number), Some(value)) = (decoder.number(), decoder.packed()) {
            if slots.iter().any(|slot| OMITTED + u64::from(slot.number()) == number) {
                omitted += value.text().parse().unwrap_or(0);
            }
        }
        omitted
    }

    /// Whether it has a value in one of the slots.
    pub(super) fn has(self, slots: &[Slot], value: PackedStr<'_>) -> bool {
        self.values().any(|(number, other)| other == value && slots.iter().any(|slot| slot.number() == number))
    }

    /// The identity: its number, and its text as UTF-8.
    pub(super) fn identity(self) -> (u32, &'a [u8]) {
        (self.identity, self.identity_text)
    }

    /// Who made the call, and where.
    pub(crate) fn attribution(self) -> Attribution<'a> {
        let identity = std::str::from_utf8(self.identity_text).invariant("an identity is UTF-8");
        Attribution::decode(identity, self.attribution_text).invariant("an attribution is as it was encoded")
    }

    pub(super) fn is_step(self, step: usize) -> bool {
        self.steps.contains(&step)
    }

    /// The number of its call, with steps and exceptions.
    pub(super) fn call(self) -> u32 {
        self.call
    }

    pub(super) fn steps(self) -> &'a [usize] {
        self.steps
    }

    pub(super) fn content(self) -> &'a [u8] {
        self.content
    }

    /// The attribution: its number, and its encoding.
    pub(super) fn encoded_attribution(self) -> (u32, &'a [u8]) {
        (self.attribution, self.attribution_text)
    }
}

/// The values of two sorted lists, sorted by text, each once.
fn merge<'a>(left: Vec<PackedStr<'a>>, right: Vec<PackedStr<'a>>) -> Vec<PackedStr<'a>> {
    if left.is_empty() {
        return right;
    }
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(one), Some(other)) if one == other => Ordering::Equal,
            (Some(one), Some(other)) => one.text().cmp(&other.text()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return merged,
        };
        if order.is_le() {
            merged.extend(left.next());
        }
        if order.is_eq() {
            right.next();
        }
        if order.is_gt() {
            merged.extend(right.next());
        }
    }
}

/// Writes the stored content of an event: its id and the distinct values of the slots that its steps bind.
pub(super) fn write_content(plan: &Plan, matched: &Matched<'_>, to: &mut Vec<u8>) {
    encode_text(to, matched.report_id);
    let mut omitted = Vec::new();
    for SlotPlan { slot, all, .. } in &plan.slots {
        let mut write = |value: &str| {
            encode_number(to, slot.number().into());
            encode_text(to, value);
        };
        let mut values = matched.event.values.all(*slot);
        match (values.next(), values.next()) {
            (None, _) => {}
            (Some(only), None) => write(only),
            (Some(_), Some(_)) => {
                let most = if *all { usize::MAX } else { MAX_UNJOINED_VALUES };
                let values = matched.event.values.distinct(&[*slot]);
                if values.len() > most {
                    omitted.push((OMITTED + u64::from(slot.number()), (values.len() - most).to_string()));
                }
                values.into_iter().take(most).for_each(write);
            }
        }
    }
    for (number, count) in omitted {
        encode_number(to, number);
        encode_text(to, &count);
    }
}
