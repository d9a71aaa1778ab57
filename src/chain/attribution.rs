use hashbrown::HashTable;

use super::KeyedHash;
use super::slab::Slab;
use crate::event::Event;
use crate::util::invariant::Invariant as _;
use crate::util::packed::{Decoder, encode_bytes};
use crate::vocab::IdentityKey;

/// Who made a call, and where: the part of an event that findings report besides its time, id and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attribution<'a> {
    /// The identity that chains are joined by. Empty if the record has none; such an event is never joined.
    pub identity: &'a str,
    /// The [`IdentityKey`] that gave the identity.
    pub identity_key: &'a str,
    /// The caller's own name. Empty if it equals the identity.
    pub caller: &'a str,
    /// See [`Event::actor`].
    pub actor_kind: &'a str,
    pub actor_name: &'a str,
    pub actor_account: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    pub source: &'a str,
    /// See [`Event::scope`].
    pub scope: &'a str,
    /// See [`Event::level`].
    pub level: &'a str,
}

impl<'a> Attribution<'a> {
    /// The attribution of an event. Its identity comes from the first of `keys` that has a value.
    pub(crate) fn of(event: &'a Event<'_>, keys: &[IdentityKey]) -> Self {
        let identity = event.actor.identity(keys);
        let caller = &*event.actor.caller;
        Self {
            identity: identity.map_or("", |(_, identity)| identity),
            identity_key: identity.map_or("", |(way, _)| way.as_str()),
            caller: if identity.is_some_and(|(_, identity)| identity == caller) { "" } else { caller },
            actor_kind: &event.actor.kind,
            actor_name: &event.actor.name,
            actor_account: &event.actor.account,
            account: &event.account,
            region: &event.region,
            source: &event.source,
            // In AWS the scope is the region.
            scope: if event.scope == event.region { "" } else { &event.scope },
            level: &event.level,
        }
    }

    /// The scope within the account: AWS region, Azure resource group, GCP zone.
    pub(crate) fn scope(&self) -> &'a str {
        if self.scope.is_empty() { self.region } else { self.scope }
    }

    /// The name of the caller: its ARN or principal, else the identity.
    pub(crate) fn caller_or_identity(&self) -> &'a str {
        if self.caller.is_empty() { self.identity } else { self.caller }
    }

    /// Encodes all fields but the identity, which is stored separately.
    pub(super) fn encode_rest(&self) -> Vec<u8> {
        let Self {
            identity: _,
            identity_key,
            caller,
            actor_kind,
            actor_name,
            actor_account,
            account,
            region,
            source,
            scope,
            level,
        } = *self;
        let mut encoded = Vec::new();
        let fields = [identity_key, caller, actor_kind, actor_name, actor_account, account, region, source];
        // Most attributions (those of AWS) have neither.
        let more = [scope, level].into_iter().filter(|_| !scope.is_empty() || !level.is_empty());
        for field in fields.into_iter().chain(more) {
            encode_bytes(&mut encoded, field.as_bytes());
        }
        encoded
    }

    pub(super) fn decode(identity: &'a str, rest: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(rest);
        let mut field = || decoder.text();
        Some(Self {
            identity,
            identity_key: field()?,
            caller: field()?,
            actor_kind: field()?,
            actor_name: field()?,
            actor_account: field()?,
            account: field()?,
            region: field()?,
            source: field()?,
            scope: field().unwrap_or_default(),
            level: field().unwrap_or_default(),
        })
    }
}

/// Interned attributions without their identities, each reference-counted by its pending events: the calls of one
/// machine, and often of many, share one.
#[derive(Debug, Default)]
pub(super) struct Attributions {
    slots: Slab<Shared>,
    by_content: HashTable<u32>,
    bytes: usize,
}

#[derive(Debug)]
struct Shared {
    encoded: Box<[u8]>,
    users: u32,
}

/// Bytes per attribution besides its encoding: a slot and a table entry.
const OVERHEAD: usize = size_of::<Shared>() + 10;

impl Attributions {
    /// Interns an attribution and adds one user. `None` only if two billion attributions are alive.
    pub(super) fn acquire(&mut self, hash: &KeyedHash, encoded: Vec<u8>) -> Option<u32> {
        let slots = &mut self.slots;
        let key = hash.of(&[&encoded]);
        let same = |slot: &u32| slots.get(*slot).is_some_and(|shared| *shared.encoded == *encoded);
        if let Some(slot) = self.by_content.find(key, same).copied() {
            slots.get_mut(slot)?.users += 1;
            return Some(slot);
        }
        self.bytes += encoded.len() + OVERHEAD;
        let slot = slots.insert(Shared { encoded: encoded.into(), users: 1 })?;
        self.by_content
            .insert_unique(key, slot, |slot| hash.of(&[slots.get(*slot).map_or(&[][..], |shared| &shared.encoded)]));
        Some(slot)
    }

    /// Adds one user to an attribution that is already interned.
    pub(super) fn acquire_again(&mut self, slot: u32) {
        if let Some(shared) = self.slots.get_mut(slot) {
            shared.users += 1;
        }
    }

    /// Removes one user, and the attribution with its last one.
    pub(super) fn release(&mut self, hash: &KeyedHash, slot: u32) {
        let Some(shared) = self.slots.get_mut(slot) else { return };
        debug_assert!(shared.users > 0, "an attribution without users is gone");
        shared.users -= 1;
        if shared.users > 0 {
            return;
        }
        let Some(shared) = self.slots.remove(slot) else { return };
        self.bytes -= shared.encoded.len() + OVERHEAD;
        if let Ok(entry) = self.by_content.find_entry(hash.of(&[&shared.encoded]), |known| *known == slot) {
            entry.remove();
        }
    }

    pub(super) fn encoded(&self, slot: u32) -> &[u8] {
        &self.slots.get(slot).invariant("an attribution in use is stored").encoded
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panics if an attribution is not used as often as it says. `users` is the attribution of each pending event.
    pub(super) fn check(&self, users: impl Iterator<Item = u32>) {
        self.slots.check();
        let mut counts = std::collections::BTreeMap::<u32, u32>::new();
        users.for_each(|user| *counts.entry(user).or_default() += 1);
        let stored: std::collections::BTreeMap<_, _> =
            self.slots.iter().map(|(slot, shared)| (slot, shared.users)).collect();
        assert_eq!(counts, stored, "an attribution lives as long as a pending event has it");
        assert_eq!(self.by_content.len(), self.slots.len(), "every attribution is found by its content");
        let bytes = self.slots.iter().map(|(_, shared)| shared.encoded.len() + OVERHEAD).sum::<usize>();
        assert_eq!(self.bytes, bytes, "the bytes are those of all attributions");
    }
}
