mod record_search;

use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::finding::FindingFormat;
use crate::rule::{self, Exception, Rule};
use crate::util::digest::hexadecimal;
use crate::util::invariant::Invariant as _;
use crate::util::text_form;
use crate::vocab::{AttackVersion, Duration, Error, IdentityKey, Limits, Mode, Partition, read_embedded, read_json};
pub use record_search::{Place, RecordSearch};

/// The configuration of a correlator.
///
/// Every setting has a default. In JSON, an unknown member is an error: a misspelt setting would otherwise be ignored
/// silently.
///
/// ```
/// use catena::{Config, Mode};
///
/// let mut config = Config::default();
/// config.mode = Mode::Findings;
/// config.disabled_rules.push("aws-instance-created".to_owned());
/// assert_eq!(Config::from_json(&config.to_json())?, config);
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a mapping of settings")]
#[non_exhaustive]
pub struct Config {
    /// What happens to the stream.
    pub mode: Mode,
    /// The format of findings and annotations.
    pub findings: FindingFormat,
    /// The version of ATT&CK whose tactics findings name.
    pub attack_version: AttackVersion,
    /// The name of the member that holds a record's annotation; must not be empty.
    pub annotation: String,
    /// Whether the [built-in rules](crate::built_in) are enabled.
    pub built_in_rules: bool,
    /// The ids of built-in rules to disable.
    pub disabled_rules: Vec<String>,
    /// Further rules.
    pub rules: Vec<Rule>,
    /// The keys of the identity that all steps of a chain must share, for rules that list none. The first key that a
    /// record has is its identity. Must not be empty.
    pub identity: Vec<IdentityKey>,
    /// The ids of the [built-in exceptions](crate::built_in_exceptions) to enable.
    pub built_in_exceptions: Vec<String>,
    /// Further exceptions.
    pub exceptions: Vec<Exception>,
    /// Where records are looked for in a record that is not itself an event.
    pub record_search: RecordSearch,
    /// How often a finding that has been reported is emitted again with the number of further events that completed it,
    /// at most, in event time. Such an update has the same id. `null`: never; further evidence is only counted.
    pub finding_updates: Option<Duration>,
    /// How far an event may lag behind the newest event time and still be joined for certain. CloudTrail's delivery
    /// delay was measured at 542 s (99th percentile) and 608 s (maximum).
    pub allowed_lateness: Duration,
    /// How far ahead of the host's clock an event may be dated and still advance the watermark.
    pub clock_skew: Duration,
    /// Limits on memory and work.
    pub limits: Limits,
    /// The partition whose events the correlator joins, if several correlators share the stream; see
    /// [`Correlator::route`](crate::Correlator::route). `null`: all events.
    pub partition: Option<Partition>,
    /// The key of the hash tables and of partitions, in JSON 32 hexadecimal digits. A secret key prevents attacks by hash collisions. A
    /// resumed correlator keeps its tables' key of the checkpoint.
    #[serde(deserialize_with = "read_hash_key", serialize_with = "write_hash_key")]
    pub hash_key: [u8; 16],
    /// Whether to skip records that no rule can match. If off, every record is parsed; the outcome is the same. For
    /// tests and measurements only.
    pub prefilter: bool,
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
            identity: IdentityKey::DEFAULT.to_vec(),
            built_in_exceptions: Vec::new(),
            exceptions: Vec::new(),
            record_search: RecordSearch::default(),
            finding_updates: None,
            allowed_lateness: Duration::from_minutes(15),
            clock_skew: Duration::from_minutes(5),
            limits: Limits::default(),
            partition: None,
            hash_key: *b"catena, unkeyed.",
            prefilter: true,
        }
    }
}

impl Config {
    /// Parses a configuration from JSON. Empty text is equivalent to `{}`.
    ///
    /// ```
    /// let config = catena::Config::from_json(r#"{"allowed_lateness": "30m"}"#)?;
    /// assert_eq!(config.allowed_lateness, catena::Duration::from_minutes(30));
    /// # Ok::<(), catena::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the path and what was expected there.
    #[cold]
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self = read_json(text)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as JSON, with every setting.
    ///
    /// ```
    /// assert!(catena::Config::default().to_json().contains(r#""mode":"enrich""#));
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).invariant("a configuration is JSON")
    }

    /// Checks the constraints that the types do not express.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.annotation.is_empty() {
            return Err(Error::config("annotation", "must not be empty"));
        }
        if self.identity.is_empty() {
            return Err(Error::config("identity", "expected at least one key"));
        }
        if let Some(Partition { index, count }) = self.partition
            && index >= count
        {
            return Err(Error::config("partition", format!("expected an index below the count {count}, not {index}")));
        }
        Ok(())
    }

    /// The enabled rules, built-in ones first, each with its path in the configuration.
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

    /// The enabled exceptions, built-in ones first, each with its path in the configuration.
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

/// The JSON Schema of configurations: `docs/config.schema.json`, with that of rules in it.
#[cold]
pub(crate) fn schema() -> serde_json::Value {
    const SCHEMA: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/config.schema.json.gz"));
    read_embedded(SCHEMA).invariant("the build script has parsed the schema")
}

fn read_hash_key<'de, D: serde::Deserializer<'de>>(json: D) -> Result<[u8; 16], D::Error> {
    text_form::deserialize(json, "32 hexadecimal digits", |text| {
        let digits: Vec<_> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let byte = |pair: &[u32]| u8::try_from(pair.first()? << 4 | pair.last()?).ok();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Option<_>>()?;
        bytes.try_into().ok().filter(|_| text.len() == 32)
    })
}

fn write_hash_key<S: Serializer>(key: &[u8; 16], json: S) -> Result<S::Ok, S::Error> {
    json.serialize_str(&hexadecimal(key))
}

impl FromStr for Config {
    type Err = Error;

    /// Same as [`from_json`](Config::from_json).
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_json(text)
    }
}
