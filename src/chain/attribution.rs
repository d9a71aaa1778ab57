use crate::event::Event;
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
    /// The beginning of [`Event::user_agent`].
    pub user_agent: &'a str,
}

/// Maximum length of a user agent that is kept, in bytes. Callers choose it.
const MAX_USER_AGENT: usize = 256;

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
            user_agent: event
                .user_agent
                .get(..event.user_agent.floor_char_boundary(MAX_USER_AGENT))
                .unwrap_or_default(),
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
    pub(super) fn encode_rest(&self, to: &mut Vec<u8>) {
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
            user_agent,
        } = *self;
        let fields = [identity_key, caller, actor_kind, actor_name, actor_account, account, region, source];
        // Those at the end that are empty are left out.
        let more = [scope, level, user_agent];
        let used = more.iter().rposition(|field| !field.is_empty()).map_or(0, |last| last + 1);
        for field in fields.into_iter().chain(more.into_iter().take(used)) {
            encode_bytes(to, field.as_bytes());
        }
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
            user_agent: field().unwrap_or_default(),
        })
    }
}
