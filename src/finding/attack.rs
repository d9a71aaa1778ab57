//! ATT&CK, as far as findings name it.

use serde::{Deserialize, Serialize};

use crate::rule::Attack;

/// The version of ATT&CK whose tactics findings name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AttackVersion {
    /// 18 and earlier: Modify Cloud Compute Infrastructure (T1578) serves Defense Evasion.
    #[default]
    #[serde(rename = "18")]
    V18,
    /// 19 and later: Defense Evasion is split, and the technique serves Defense Impairment.
    #[serde(rename = "19")]
    V19,
}

impl AttackVersion {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::V18 => "18.1",
            Self::V19 => "19.0",
        }
    }
}

/// An id and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named<'a> {
    pub uid: &'a str,
    pub name: &'a str,
}

/// A technique in its place.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub tactic: Option<Named<'static>>,
    /// The name is empty where it is not known.
    pub technique: Named<'a>,
    pub sub_technique: Option<Named<'a>>,
}

impl<'a> Placed<'a> {
    pub(super) fn of(attack: &'a Attack, version: AttackVersion) -> Self {
        let named = Named { uid: &attack.technique, name: &attack.name };
        let (technique, sub_technique) = match attack.technique.split_once('.') {
            Some((uid, _)) => (Named { uid, name: parent_name(uid) }, Some(named)),
            None => (named, None),
        };
        let tactic = match (technique.uid, version) {
            ("T1578", AttackVersion::V18) => Some(Named { uid: "TA0005", name: "Defense Evasion" }),
            ("T1578", AttackVersion::V19) => Some(Named { uid: "TA0112", name: "Defense Impairment" }),
            ("T1537", _) => Some(Named { uid: "TA0010", name: "Exfiltration" }),
            _ => None,
        };
        Self { tactic, technique, sub_technique }
    }
}

fn parent_name(technique: &str) -> &'static str {
    if technique == "T1578" { "Modify Cloud Compute Infrastructure" } else { "" }
}
