use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::finding::{AttackVersion, FindingFormat, Form};
use crate::parsed;
use crate::place::path_at;
use crate::rule::{self, Exception, IdentityWay, Rule};
use crate::{Error, Span};

/// How a correlator works. Read from JSON; every member has a default, so `{}` (and an empty text) is a working
/// configuration. An unknown member is an error: a misspelt one would be a setting that is silently not made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of the stream.
    pub mode: Mode,
    /// What findings are written as.
    pub findings: FindingFormat,
    /// The version of ATT&CK whose tactics findings name.
    pub attack_version: AttackVersion,
    /// The name of the member that annotations are written as.
    pub annotation: String,
    /// Whether the [built-in rules](crate::built_in) take part.
    pub built_in_rules: bool,
    /// The ids of built-in rules that do not.
    pub disabled_rules: Vec<String>,
    /// Further rules.
    pub rules: Vec<Rule>,
    /// Who has to be the same in all steps of a chain, for the rules that do not say: the ways to tell, the first that is
    /// present wins.
    pub identity: Vec<IdentityWay>,
    /// The [built-in exceptions](crate::built_in_exceptions) that take part, by their ids.
    pub built_in_exceptions: Vec<String>,
    /// Further exceptions.
    pub exceptions: Vec<Exception>,
    /// How long after newer ones an event may come and still be joined for certain. Delivery by CloudTrail was measured
    /// at 542 s in the 99th percentile and 608 s at most.
    pub allowed_lateness: Span,
    /// How far beyond the host's clock an event may be dated and still be believed.
    pub clock_skew: Span,
    /// Bounds of the state.
    pub limits: Limits,
    /// The key of the hash tables, 32 hexadecimal digits. Whoever cannot guess it cannot make keys collide. A resumed
    /// correlator keeps the key of its checkpoint.
    #[serde(deserialize_with = "hash_key")]
    pub hash_key: [u8; 16],
    /// Off, every record is parsed. The outcome is the same; only for tests and measurements.
    pub prefilter: bool,
}

/// What becomes of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything passes; records that match a rule are annotated.
    #[default]
    Enrich,
    /// Only records that match a rule pass, annotated.
    Filter,
    /// Nothing passes; only findings are made.
    Findings,
}

/// Bounds of the state. What has to give way is counted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest batch, in bytes.
    pub batch_bytes: usize,
    /// Pending events in all.
    pub pending: usize,
    /// Pending events of one identity.
    pub pending_per_identity: usize,
    /// Bytes that pending events may take, about.
    pub state_bytes: usize,
    /// Event ids that are remembered, to tell repetitions.
    pub event_ids: usize,
    /// For how much event time they are remembered.
    pub duplicate_window: Span,
    /// Pending events that one event's search may try.
    pub neighbours: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            findings: FindingFormat::default(),
            attack_version: AttackVersion::default(),
            annotation: "catena".to_owned(),
            built_in_rules: true,
            disabled_rules: Vec::new(),
            rules: Vec::new(),
            identity: IdentityWay::DEFAULT.to_vec(),
            built_in_exceptions: Vec::new(),
            exceptions: Vec::new(),
            allowed_lateness: Span::from_minutes(15),
            clock_skew: Span::from_minutes(5),
            limits: Limits::default(),
            hash_key: *b"catena, unkeyed.",
            prefilter: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes: 256 << 20,
            pending: 1 << 20,
            pending_per_identity: 4_096,
            state_bytes: 256 << 20,
            event_ids: 1 << 20,
            duplicate_window: Span::from_minutes(24 * 60),
            neighbours: 1_024,
        }
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the place and what was expected.
    #[cold]
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self = read(text)?;
        if config.annotation.is_empty() {
            return Err(Error::config("annotation", "expected a name that is not empty"));
        }
        if config.identity.is_empty() {
            return Err(Error::config("identity", "expected at least one way to tell who made a call"));
        }
        Ok(config)
    }

    /// How findings are written.
    pub(crate) fn form(&self) -> Form {
        Form { format: self.findings, attack: self.attack_version }
    }

    /// The rules that take part, the built-in ones first, each with the place where it stands.
    #[cold]
    pub(crate) fn all_rules(&self) -> Result<Vec<(String, Rule)>, Error> {
        let asked_for = self.built_in_rules || !self.disabled_rules.is_empty();
        let mut built_in = if asked_for { rule::built_in()? } else { Vec::new() };
        let unknown = |id: &&String| !built_in.iter().any(|rule| rule.id == **id);
        if let Some(id) = self.disabled_rules.iter().find(unknown) {
            return Err(Error::config("disabled_rules", format!("there is no built-in rule {id:?}")));
        }
        built_in.retain(|rule| self.built_in_rules && !self.disabled_rules.contains(&rule.id));
        let built_in = built_in.into_iter().map(|rule| (format!("built-in rule {}", rule.id), rule));
        let own = self.rules.iter().enumerate().map(|(at, rule)| (format!("rules[{at}]"), rule.clone()));
        Ok(built_in.chain(own).collect())
    }

    /// The exceptions that take part, each with the place where it stands.
    #[cold]
    pub(crate) fn all_exceptions(&self) -> Result<Vec<(String, Exception)>, Error> {
        let mut exceptions = Vec::new();
        let asked_for = !self.built_in_exceptions.is_empty();
        let built_in = if asked_for { rule::built_in_exceptions()? } else { Vec::new() };
        for (number, id) in self.built_in_exceptions.iter().enumerate() {
            let at = format!("built_in_exceptions[{number}]");
            let Some(exception) = built_in.iter().find(|exception| exception.id == *id) else {
                let known: Vec<_> = built_in.iter().map(|exception| exception.id.as_str()).collect();
                return Err(Error::config(at, format!("there is no {id:?}, expected one of {}", known.join(", "))));
            };
            exceptions.push((at, exception.clone()));
        }
        let own = self.exceptions.iter().enumerate();
        exceptions.extend(own.map(|(at, exception)| (format!("exceptions[{at}]"), exception.clone())));
        Ok(exceptions)
    }
}

/// Reads JSON, for all that comes in as such.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| {
        let at = path_at(text, error.line(), error.column());
        let why = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        Error::config(at, why.strip_suffix(&place).unwrap_or(&why))
    })
}

fn hash_key<'de, D: serde::Deserializer<'de>>(json: D) -> Result<[u8; 16], D::Error> {
    parsed::deserialize(json, "32 hexadecimal digits", |text| {
        let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let byte = |pair: &[u32]| u8::try_from(pair.first()? << 4 | pair.last()?).ok();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Option<_>>()?;
        bytes.try_into().ok().filter(|_| text.len() == 32)
    })
}
