use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::KeyedHash;
use crate::codec::{Take, put_bytes};
use crate::event::Event;
use crate::rule::IdentityWay;

/// Who did something and where: what findings tell of an event besides its time, its id and its values.
///
/// The events of one identity mostly share it, so it is kept once for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context<'a> {
    /// What chains are joined by. Empty where the record names nobody; nothing is joined then.
    pub identity: &'a str,
    /// By which way that was told.
    pub identity_way: &'a str,
    /// The caller's own name, where that is not the identity.
    pub caller: &'a str,
    /// See [`Event::actor`].
    pub actor_kind: &'a str,
    pub actor_name: &'a str,
    pub actor_account: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub source: &'a str,
}

impl<'a> Context<'a> {
    /// The context of an event, its identity told by the first of some ways.
    pub(crate) fn of(event: &'a Event<'_>, ways: &[IdentityWay]) -> Self {
        let identity = event.actor.identity(ways);
        let arn = &*event.actor.arn;
        Self {
            identity: identity.map_or("", |(_, identity)| identity),
            identity_way: identity.map_or("", |(way, _)| way.as_str()),
            caller: if identity.is_some_and(|(_, identity)| identity == arn) { "" } else { arn },
            actor_kind: &event.actor.kind,
            actor_name: &event.actor.name,
            actor_account: &event.actor.account,
            account: &event.account,
            region: &event.region,
            source: &event.source,
        }
    }

    fn fields(&self) -> [&'a str; 9] {
        let Self { identity, identity_way, caller, actor_kind, actor_name, actor_account, account, region, source } =
            *self;
        [identity, identity_way, caller, actor_kind, actor_name, actor_account, account, region, source]
    }

    /// The name of whoever made the call: the arn, else what the identity was told by.
    pub(crate) fn who(&self) -> &'a str {
        if self.caller.is_empty() { self.identity } else { self.caller }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(self.fields().iter().map(|field| field.len() + 2).sum());
        for field in self.fields() {
            put_bytes(&mut encoded, field.as_bytes());
        }
        encoded
    }

    pub(super) fn decode(encoded: &'a [u8]) -> Option<Self> {
        let mut take = Take::new(encoded);
        let mut field = || take.text();
        Some(Self {
            identity: field()?,
            identity_way: field()?,
            caller: field()?,
            actor_kind: field()?,
            actor_name: field()?,
            actor_account: field()?,
            account: field()?,
            region: field()?,
            source: field()?,
        })
    }
}

/// Contexts, each kept once and for as long as a pending event has it.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_content: HashTable<u32>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Slot {
    encoded: Box<[u8]>,
    users: u32,
}

/// What a context takes besides its text: a slot, and its place in the table.
const OVERHEAD: usize = size_of::<Slot>() + 8;

impl Contexts {
    /// Counts one more user of a context; `None` only where four billion contexts are alive.
    pub(super) fn acquire(&mut self, hash: &KeyedHash, encoded: Vec<u8>) -> Option<u32> {
        let (slots, free) = (&mut self.slots, &mut self.free);
        let text = |slot: u32| slots.get(slot as usize).map_or(&[][..], |slot| &slot.encoded);
        let entry = self.by_content.entry(
            hash.of(&[&encoded]),
            |slot| *text(*slot) == *encoded,
            |slot| hash.of(&[text(*slot)]),
        );
        match entry {
            Entry::Occupied(known) => {
                let slot = *known.get();
                slots.get_mut(slot as usize)?.users += 1;
                Some(slot)
            }
            Entry::Vacant(vacant) => {
                self.bytes += encoded.len() + OVERHEAD;
                let new = Slot { encoded: encoded.into(), users: 1 };
                let slot = match free.pop() {
                    Some(slot) => {
                        *slots.get_mut(slot as usize)? = new;
                        slot
                    }
                    None => {
                        slots.push(new);
                        u32::try_from(slots.len() - 1).ok()?
                    }
                };
                vacant.insert(slot);
                Some(slot)
            }
        }
    }

    /// Counts one user less, and forgets a context that has none left.
    pub(super) fn release(&mut self, hash: &KeyedHash, slot: u32) {
        let Some(context) = self.slots.get_mut(slot as usize) else { return };
        context.users -= 1;
        if context.users > 0 {
            return;
        }
        let encoded = std::mem::take(&mut context.encoded);
        self.bytes -= encoded.len() + OVERHEAD;
        if let Ok(entry) = self.by_content.find_entry(hash.of(&[&encoded]), |known| *known == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    pub(super) fn encoded(&self, slot: u32) -> &[u8] {
        self.slots.get(slot as usize).map_or(&[], |slot| &slot.encoded)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
