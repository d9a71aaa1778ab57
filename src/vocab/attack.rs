//! The part of MITRE ATT&CK that findings refer to.

use serde::{Deserialize, Serialize};

/// An ATT&CK technique or sub-technique that a rule detects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attack {
    /// The id of the technique or sub-technique, such as `T1578.002`.
    pub technique: String,
    /// The name of that technique or sub-technique.
    pub name: String,
}

impl Attack {
    /// A technique or sub-technique by its id and name.
    ///
    /// ```
    /// let attack = catena::Attack::new("T1578.002", "Create Cloud Instance");
    /// assert_eq!(attack.technique, "T1578.002");
    /// ```
    pub fn new(technique: impl Into<String>, name: impl Into<String>) -> Self {
        Self { technique: technique.into(), name: name.into() }
    }
}

/// The version of ATT&CK whose tactics findings report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AttackVersion {
    /// 18 and earlier: Modify Cloud Compute Infrastructure (T1578) belongs to Defense Evasion.
    #[default]
    #[serde(rename = "18")]
    V18,
    /// 19 and later: Defense Evasion is split, and T1578 belongs to Defense Impairment.
    #[serde(rename = "19")]
    V19,
}

impl AttackVersion {
    /// The release reported in findings.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V18 => "18.1",
            Self::V19 => "19.0",
        }
    }
}

/// The id and the name of a tactic, technique or sub-technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IdAndName<'a> {
    /// The id, such as `TA0005`.
    pub uid: &'a str,
    /// The name that belongs to the id.
    pub name: &'a str,
}

/// A technique with its tactic and its parent.
#[derive(Clone, Copy)]
pub(crate) struct ResolvedTechnique<'a> {
    /// The tactic, if it is known.
    pub tactic: Option<IdAndName<'static>>,
    /// The technique, or the parent of the sub-technique. The parent's name is empty if it is not known.
    pub technique: IdAndName<'a>,
    /// The sub-technique, if the rule names one.
    pub sub_technique: Option<IdAndName<'a>>,
}

impl<'a> ResolvedTechnique<'a> {
    /// Looks up the tactic and the parent of a technique. Tactics are known for T1578 and T1537.
    pub(crate) fn of(attack: &'a Attack, version: AttackVersion) -> Self {
        let named = IdAndName { uid: &attack.technique, name: &attack.name };
        let (technique, sub_technique) = match attack.technique.split_once('.') {
            Some((uid, _)) => (IdAndName { uid, name: parent_name(uid) }, Some(named)),
            None => (named, None),
        };
        let tactic = match (technique.uid, version) {
            ("T1578", AttackVersion::V18) => Some(IdAndName { uid: "TA0005", name: "Defense Evasion" }),
            ("T1578", AttackVersion::V19) => Some(IdAndName { uid: "TA0112", name: "Defense Impairment" }),
            ("T1537", _) => Some(IdAndName { uid: "TA0010", name: "Exfiltration" }),
            _ => None,
        };
        Self { tactic, technique, sub_technique }
    }
}

/// The name of a technique that has sub-techniques; empty if it is not known.
fn parent_name(technique: &str) -> &'static str {
    if technique == "T1578" { "Modify Cloud Compute Infrastructure" } else { "" }
}
