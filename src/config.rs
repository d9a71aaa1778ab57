use serde::Deserialize;

use crate::rule::{self, Rule};
use crate::{Error, Span};

/// How a correlator works. Read from JSON; every member has a default, so `{}` (and an empty text) is a working
/// configuration. An unknown member is an error: a misspelt one would be a setting that is silently not made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of the stream.
    pub mode: Mode,
    /// The name of the member that annotations are written as.
    pub annotation: String,
    /// Whether the [built-in rules](crate::built_in) take part.
    pub built_in_rules: bool,
    /// Further rules.
    pub rules: Vec<Rule>,
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
    /// Pending events that one event's search may look at.
    pub neighbours: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            annotation: "catena".to_owned(),
            built_in_rules: true,
            rules: Vec::new(),
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
            neighbours: 4_096,
        }
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the place and what was expected.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let at = error.path().to_string();
            Error::config(if at == "." { String::new() } else { at }, error.into_inner().to_string())
        })?;
        json.end().map_err(|error| Error::config("", error.to_string()))?;
        if config.annotation.is_empty() {
            return Err(Error::config("annotation", "expected a name that is not empty"));
        }
        Ok(config)
    }

    /// The rules that take part, the built-in ones first, each with the place where it stands.
    pub(crate) fn all_rules(&self) -> Result<Vec<(String, Rule)>, Error> {
        let built_in = if self.built_in_rules { rule::built_in()? } else { Vec::new() };
        let built_in = built_in.into_iter().map(|rule| (format!("built-in rule {}", rule.id), rule));
        let own = self.rules.iter().enumerate().map(|(at, rule)| (format!("rules[{at}]"), rule.clone()));
        Ok(built_in.chain(own).collect())
    }
}

fn hash_key<'de, D: serde::Deserializer<'de>>(json: D) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(json)?;
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<u8> = digits
        .iter()
        .flat_map(|digits| digits.chunks_exact(2))
        .filter_map(|pair| {
            let (high, low) = (pair.first()?, pair.last()?);
            u8::try_from(high << 4 | low).ok()
        })
        .collect();
    match <[u8; 16]>::try_from(bytes) {
        Ok(key) if text.len() == 32 => Ok(key),
        _ => Err(serde::de::Error::custom("expected 32 hexadecimal digits")),
    }
}
