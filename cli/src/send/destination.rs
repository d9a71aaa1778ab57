//! `--send URL[,OPTION=VALUE]...`: where findings go, and which.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use catena::Severity;
use url::Url;
use wildmatch::WildMatch;

use crate::suggest::did_you_mean;
use crate::tls;

/// Where to send findings, and which.
#[derive(Clone, Debug)]
pub struct Destination {
    pub kind: Kind,
    /// The address, with the scheme of its transport: `https`, `tls`, `tcp`, `udp`, `nats`.
    pub url: Url,
    /// For messages, metrics and the name of the spool: `hec-splunk.example-1f3a`.
    pub name: String,
    /// The least severe findings to send.
    severity: Severity,
    /// The rules whose findings to send; empty for all.
    rules: Vec<String>,
    options: BTreeMap<&'static str, String>,
}

/// The protocol of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Syslog,
    /// Splunk's HTTP Event Collector.
    Hec,
    /// The bulk API of Elasticsearch and OpenSearch.
    Elastic,
    /// Microsoft Sentinel's Logs Ingestion API.
    Sentinel,
    /// One POST for each finding.
    Webhook,
    Nats,
}

/// Options of all kinds, and those that only one has.
const COMMON: &[&str] = &["severity", "rule", "name", "spool-mib"];
const TLS: &[&str] = &["ca", "cert", "key"];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Hec => "hec",
            Self::Elastic => "elastic",
            Self::Sentinel => "sentinel",
            Self::Webhook => "webhook",
            Self::Nats => "nats",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Syslog => &["facility", "framing", "confirm"],
            Self::Hec => &["token-file", "index", "sourcetype"],
            Self::Elastic => &["api-key-file", "user", "password-file"],
            Self::Sentinel => &["tenant", "client", "secret-file", "login"],
            Self::Webhook => &["token-file"],
            Self::Nats => &["creds", "user", "password-file", "jetstream"],
        }
    }
}

impl Destination {
    /// Whether a finding goes there.
    pub fn wants(&self, severity: Severity, rule: &str) -> bool {
        severity >= self.severity
            && (self.rules.is_empty() || self.rules.iter().any(|pattern| WildMatch::new(pattern).matches(rule)))
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The path in an option that names a file.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.option(name).map(PathBuf::from)
    }

    /// The secret in the file that an option names.
    pub fn secret(&self, name: &str) -> Result<Option<String>, String> {
        self.file(name).map(|file| tls::secret(&file)).transpose()
    }

    /// The patterns of `rule=` that match none of these rules.
    pub fn without_rule<'s>(&'s self, rules: &'s [&str]) -> impl Iterator<Item = &'s str> {
        let matches = |pattern: &str| rules.iter().any(|rule| WildMatch::new(pattern).matches(rule));
        self.rules.iter().map(String::as_str).filter(move |pattern| !matches(pattern))
    }

    /// Whether findings, and perhaps a password, would cross a network in clear.
    pub fn is_in_clear(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_local = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        !is_local && matches!(self.url.scheme(), "http" | "tcp" | "udp" | "nats")
    }

    /// The most bytes that may wait for the receiver.
    pub fn spool_bytes(&self) -> u64 {
        self.option("spool-mib").and_then(|mib| mib.parse::<u64>().ok()).unwrap_or(1_024) << 20
    }
}

/// The severity of a name.
pub fn severity(name: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.as_str() == name)
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = parts.next().unwrap_or_default();
        let (scheme, rest) = address.split_once("://").ok_or_else(|| format!("{address:?} is not a URL"))?;
        let (kind, transport) = match scheme {
            "http" | "https" => (Kind::Webhook, scheme),
            "nats" | "tls+nats" | "nats+tls" => (Kind::Nats, if scheme == "nats" { "nats" } else { "tls" }),
            "syslog+tcp" | "syslog+tls" | "syslog+udp" => (Kind::Syslog, &scheme["syslog+".len()..]),
            "hec+http" | "hec+https" => (Kind::Hec, &scheme["hec+".len()..]),
            "elastic+http" | "elastic+https" => (Kind::Elastic, &scheme["elastic+".len()..]),
            "sentinel+http" | "sentinel+https" => (Kind::Sentinel, &scheme["sentinel+".len()..]),
            _ => {
                let known = "syslog+tcp, syslog+tls, syslog+udp, hec+https, elastic+https, sentinel+https, https, nats, nats+tls";
                return Err(format!(
                    "{scheme}:// is not known{}; there are {known}",
                    did_you_mean(scheme, known.split(", "))
                ));
            }
        };
        if rest.starts_with('/') {
            return Err(format!("{address:?} names no host"));
        }
        let url = Url::parse(&format!("{transport}://{rest}")).map_err(|error| format!("{address:?}: {error}"))?;
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| format!("{address:?} names no host"))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err("a password in the address is visible to all users: use an option that names a file".to_owned());
        }
        let host = host.trim_matches(['[', ']']).replace(':', "-");
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write(address.as_bytes());
        let name = format!("{}-{host}-{:08x}", kind.name(), hasher.finish() as u32);
        let severity = Severity::Informational;
        let mut destination = Self { kind, url, name, severity, rules: Vec::new(), options: BTreeMap::new() };
        for option in parts {
            destination.set(option)?;
        }
        destination.check()?;
        Ok(destination)
    }
}

impl Destination {
    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').ok_or_else(|| format!("{option:?} is not OPTION=VALUE"))?;
        let known = || COMMON.iter().chain(TLS).chain(self.kind.options()).copied();
        let Some(known) = known().find(|known| *known == name) else {
            let list = known().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "{} has no option {name:?}{}; there are {list}",
                self.kind.name(),
                did_you_mean(name, known())
            ));
        };
        match known {
            "severity" => {
                self.severity = severity(value).ok_or_else(|| {
                    format!("{value:?} is no severity; there are informational, low, medium, high, critical")
                })?;
            }
            "rule" => self.rules.push(value.to_owned()),
            "name"
                if value.starts_with('.')
                    || ["", "lock"].contains(&value)
                    || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) =>
            {
                return Err(format!(
                    "the name {value:?} must be of letters, digits, -, _ and ., not begin with a dot, and not be \"lock\""
                ));
            }
            "name" => value.clone_into(&mut self.name),
            _ => {
                self.options.insert(known, value.to_owned());
            }
        }
        Ok(())
    }

    /// Checks what takes several options.
    fn check(&self) -> Result<(), String> {
        let needs =
            |option: &str| self.option(option).map(drop).ok_or_else(|| format!("{} needs {option}=", self.kind.name()));
        match self.kind {
            Kind::Hec => needs("token-file")?,
            Kind::Sentinel => ["tenant", "client", "secret-file"].into_iter().try_for_each(needs)?,
            Kind::Nats if self.url.path().trim_matches('/').is_empty() => {
                return Err("nats needs a subject, as in nats://host:4222/catena.findings".to_owned());
            }
            Kind::Elastic if self.url.path().trim_matches('/').is_empty() => {
                return Err(
                    "elastic needs an index or data stream, as in elastic+https://host:9200/catena-findings".to_owned()
                );
            }
            _ => {}
        }
        if self.option("cert").is_some() != self.option("key").is_some() {
            return Err("cert= and key= belong together".to_owned());
        }
        if self.option("user").is_some() != self.option("password-file").is_some() {
            return Err("user= and password-file= belong together".to_owned());
        }
        if self.option("spool-mib").is_some_and(|mib| !mib.parse::<u64>().is_ok_and(|mib| (1..=1 << 20).contains(&mib)))
        {
            return Err("spool-mib= is not a number from 1 to 1048576".to_owned());
        }
        if self.option("framing").is_some_and(|framing| !["octets", "newline"].contains(&framing)) {
            return Err("framing= is neither octets nor newline".to_owned());
        }
        if self.option("confirm").is_some_and(|confirm| !["close", "sent"].contains(&confirm)) {
            return Err("confirm= is neither close nor sent".to_owned());
        }
        if self.option("facility").is_some_and(|facility| !facility.parse::<u8>().is_ok_and(|facility| facility < 24)) {
            return Err("facility= is not a number from 0 to 23".to_owned());
        }
        if self.option("jetstream").is_some_and(|jetstream| !["on", "off"].contains(&jetstream)) {
            return Err("jetstream= is neither on nor off".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_options_are_read() {
        let text = "hec+https://splunk.example:8088,token-file=/t,severity=high,rule=aws-*,rule=gcp-image";
        let hec: Destination = text.parse().expect("it is valid");
        assert_eq!((hec.kind, hec.url.as_str()), (Kind::Hec, "https://splunk.example:8088/"));
        assert!(hec.name.starts_with("hec-splunk.example-"));
        assert_eq!(hec.option("token-file"), Some("/t"));
        for (severity, rule, expected) in [
            (Severity::High, "aws-snapshot-staging", true),
            (Severity::Critical, "gcp-image", true),
            (Severity::Medium, "aws-snapshot-staging", false),
            (Severity::High, "azure-x", false),
        ] {
            assert_eq!(hec.wants(severity, rule), expected, "{rule}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, expected) in [
            ("splunk", "\"splunk\" is not a URL"),
            ("hecc+https://h,token-file=t", "did you mean `hec+https`?"),
            ("hec+https://h", "hec needs token-file="),
            ("hec+https://h,token-fil=t", "did you mean `token-file`?"),
            ("https://h,severity=loud", "\"loud\" is no severity"),
            ("https://user:word@h", "visible to all users"),
            ("nats://h", "nats needs a subject"),
            ("syslog+tls://h,cert=c", "cert= and key= belong together"),
            ("https://h,severity", "is not OPTION=VALUE"),
        ] {
            let told = text.parse::<Destination>().expect_err(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
