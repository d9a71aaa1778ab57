//! `--listen URL[,OPTION=VALUE]...`: where records come in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::suggest::did_you_mean;

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    /// As it was given, without options.
    pub name: String,
    pub place: Place,
    pub protocol: Protocol,
    options: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// The socket, if it can be reached from another machine.
    fn beyond_loopback(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) | Self::Udp(socket) => Some(*socket).filter(|socket| !socket.ip().is_loopback()),
            Self::Unix(_) => None,
        }
    }
}

/// What clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Records one after the other, or syslog.
    Stream,
    Http,
}

/// How records are separated in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Each frame as it begins.
    Auto,
    /// By LF or NUL.
    Delimited,
    /// By their length (RFC 6587).
    Octets,
}

const COMMON: &[&str] = &["connections", "idle"];
const TLS: &[&str] = &["cert", "key", "client-ca"];

impl Address {
    /// The options of TLS: the certificate, the key, and who signs the certificates of clients.
    pub fn tls(&self) -> Option<(PathBuf, PathBuf, Option<PathBuf>)> {
        let file = |name: &str| self.options.get(name).map(PathBuf::from);
        Some((file("cert")?, file("key")?, file("client-ca")))
    }

    /// The file with the token that HTTP clients must have.
    pub fn token_file(&self) -> Option<PathBuf> {
        self.options.get("token-file").map(PathBuf::from)
    }

    /// The most connections at once.
    pub fn connections(&self) -> usize {
        self.options.get("connections").and_then(|count| count.parse().ok()).unwrap_or(1_024)
    }

    /// How long a connection may be silent.
    pub fn idle(&self) -> Duration {
        let idle = self.options.get("idle").and_then(|idle| idle.parse::<catena::Duration>().ok());
        idle.map_or(Duration::from_secs(10 * 60), Duration::from)
    }

    /// The permissions of a Unix socket; `None` for those of the umask.
    pub fn mode(&self) -> Option<u32> {
        self.options.get("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok())
    }

    /// Whether everyone who reaches it may send records.
    pub fn is_open_to_all(&self) -> bool {
        self.place.beyond_loopback().is_some() && self.token_file().is_none() && !self.options.contains_key("client-ca")
    }

    pub fn framing(&self) -> Framing {
        match self.options.get("framing").map(String::as_str) {
            Some("octets") => Framing::Octets,
            Some("newline" | "nul") => Framing::Delimited,
            _ => Framing::Auto,
        }
    }

    fn set(&mut self, option: &str, known: &[&'static str]) -> Result<(), String> {
        let (name, value) = option.split_once('=').ok_or_else(|| format!("{option:?} is not OPTION=VALUE"))?;
        let Some(known) = known.iter().find(|known| **known == name) else {
            let advice = did_you_mean(name, known.iter().copied());
            return Err(format!("there is no option {name:?}{advice}; there are {}", known.join(", ")));
        };
        let (is_valid, expected) = match *known {
            "connections" => (
                value.parse::<u32>().is_ok_and(|count| (1..=65_536).contains(&count)),
                "expected a number from 1 to 65536",
            ),
            "idle" => {
                (value.parse::<catena::Duration>().is_ok(), "expected a whole number and a unit, such as 90s or 10m")
            }
            "framing" => {
                (["auto", "newline", "nul", "octets"].contains(&value), "there are auto, newline, nul and octets")
            }
            "mode" => (
                u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o777),
                "expected permissions in octal, such as 660",
            ),
            _ => (!value.is_empty(), "expected a file"),
        };
        if !is_valid {
            return Err(format!("{name}={value} is not valid: {expected}"));
        }
        self.options.insert(known, value.to_owned());
        Ok(())
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let (scheme, rest) = name.split_once("://").ok_or_else(|| format!("{name:?} is not a URL"))?;
        let socket = || {
            let rest = rest.trim_end_matches('/');
            rest.parse::<SocketAddr>()
                .map_err(|_| format!("{rest:?} is not an IP address and a port, as in 127.0.0.1:5140"))
        };
        let (place, protocol, own): (_, _, &[&str]) = match scheme {
            "tcp" | "tls" => (Place::Tcp(socket()?), Protocol::Stream, &["framing"]),
            "unix" => (Place::Unix(rest.into()), Protocol::Stream, &["framing", "mode"]),
            "udp" => (Place::Udp(socket()?), Protocol::Stream, &[]),
            "http" | "https" => (Place::Tcp(socket()?), Protocol::Http, &["token-file"]),
            _ => {
                let known = ["tcp", "tls", "unix", "udp", "http", "https"];
                return Err(format!(
                    "{scheme}:// is not known{}; there are {}",
                    did_you_mean(scheme, known),
                    known.join(", ")
                ));
            }
        };
        let is_tls = matches!(scheme, "tls" | "https");
        let common = if scheme == "udp" { &[] } else { COMMON };
        let known = [common, own, if is_tls { TLS } else { &[] }].concat();
        let mut address = Self { name: name.to_owned(), place, protocol, options: BTreeMap::new() };
        parts.try_for_each(|option| address.set(option, &known))?;
        if is_tls && address.tls().is_none() {
            return Err(format!("{scheme} needs cert=FILE and key=FILE"));
        }
        if let Some(socket) = address.place.beyond_loopback().filter(|_| !is_tls) {
            return Err(format!(
                "{scheme} on {socket} would let everyone on the network read and forge records: use TLS, or the loopback interface"
            ));
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_their_options_are_read() {
        let address: Address =
            "tcp://127.0.0.1:5140,framing=octets,idle=5s,connections=3".parse().expect("it is valid");
        assert_eq!(
            (address.framing(), address.idle(), address.connections()),
            (Framing::Octets, Duration::from_secs(5), 3)
        );
        let address: Address = "tls://0.0.0.0:6514,cert=c,key=k,client-ca=a".parse().expect("it is valid");
        assert_eq!(address.tls(), Some(("c".into(), "k".into(), Some("a".into()))));
        let address: Address = "unix:///run/catena.sock".parse().expect("it is valid");
        assert_eq!(address.place, Place::Unix("/run/catena.sock".into()));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, expected) in [
            ("tcp://0.0.0.0:5140", "would let everyone on the network"),
            ("http://[::]:80", "would let everyone on the network"),
            ("udp://10.0.0.1:514", "would let everyone on the network"),
            ("https://127.0.0.1:443", "https needs cert=FILE and key=FILE"),
            ("tcp://localhost:5140", "is not an IP address and a port"),
            ("tcps://127.0.0.1:1", "did you mean `tcp`?"),
            ("tcp://127.0.0.1:1,frame=nul", "did you mean `framing`?"),
            ("tcp://127.0.0.1:1,framing=x", "framing=x is not valid: there are auto"),
            ("tcp://127.0.0.1:1,idle=10", "expected a whole number and a unit"),
            ("unix:///x,mode=999", "expected permissions in octal"),
            ("udp://127.0.0.1:1,idle=10s", "there is no option \"idle\""),
        ] {
            let told = text.parse::<Address>().expect_err(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
