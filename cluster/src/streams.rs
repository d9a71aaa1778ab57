//! The streams of a deployment.

use serde_json::{Value, json};
use tracing::warn;

use crate::Error;
use crate::nats::{Answer, Nats, code};

/// Blocks of records, as they come: `catena.in.SOURCE`; with the pointer of each source, `catena.place.SOURCE`, and what it has read of which
/// files before, `catena.files.SOURCE.SEGMENT`.
pub(crate) const IN: &str = "CATENA_IN";
/// What correlators read: `catena.events.PARTITION`, and `catena.common.PART.BLOCK` for what several share; what passes them by: `catena.rest`, which is kept as long as other outputs; with
/// the routers' pointer `catena.routed`.
pub(crate) const EVENTS: &str = "CATENA_EVENTS";
/// What correlators write: `catena.out.PARTITION`, `catena.findings.PARTITION`, and their pointers, `catena.correlated.PARTITION`; and what
/// the joiner does with what several share, with its pointer, `catena.joined`.
pub(crate) const OUT: &str = "CATENA_OUT";
/// Checkpoints: `catena.state.PARTITION.GENERATION`.
pub(crate) const STATE: &str = "CATENA_STATE";
/// The deployment and its configurations: `catena.deployment`, `catena.config.EPOCH`.
pub(crate) const DEPLOYMENT: &str = "CATENA_DEPLOYMENT";
/// Leases: `catena.lease.PARTITION`; and who is there: `catena.router.NAME`, `catena.worker.NAME.MOST.VERSION`, with the
/// most partitions that it takes.
pub(crate) const LEASES: &str = "CATENA_LEASES";

pub(crate) const COMMON: &str = "catena.common.*.*";
pub(crate) const REST: &str = "catena.rest";
pub(crate) const ROUTED: &str = "catena.routed";
/// What correlators do to records that several of them have: `catena.pieces.PARTITION`.
pub(crate) const PIECES: &str = "catena.pieces.*";
pub(crate) const JOINED: &str = "catena.joined";

/// What the subjects of blocks begin with.
pub(crate) const BLOCKS: &str = "catena.in.";
pub(crate) const PLACES: &str = "catena.place.*";

pub(crate) fn source(name: &str) -> String {
    format!("{BLOCKS}{name}")
}

pub(crate) fn place_of(source: &str) -> String {
    format!("catena.place.{source}")
}

pub(crate) fn files_of(source: &str, segment: u32) -> String {
    format!("catena.files.{source}.{segment}")
}

pub(crate) fn events_of(partition: u32) -> String {
    format!("catena.events.{partition}")
}

pub(crate) fn common_of(part: u64, block: u32) -> String {
    format!("catena.common.{part}.{block}")
}

pub(crate) fn out_of(partition: u32) -> String {
    format!("catena.out.{partition}")
}

pub(crate) fn findings_of(partition: u32) -> String {
    format!("catena.findings.{partition}")
}

pub(crate) fn rejected_of(partition: u32) -> String {
    format!("catena.rejected.{partition}")
}

pub(crate) fn pieces_of(partition: u32) -> String {
    format!("catena.pieces.{partition}")
}

pub(crate) fn pointer_of(partition: u32) -> String {
    format!("catena.correlated.{partition}")
}

pub(crate) fn states_of(partition: u32) -> String {
    format!("catena.state.{partition}.*")
}

pub(crate) fn state_of(partition: u32, generation: u64) -> String {
    format!("catena.state.{partition}.{generation}")
}

/// What the subjects of [`LEASES`] begin with.
pub(crate) const LEASE: &str = "catena.lease.";
/// See [`LEASE`].
pub(crate) const ROUTER: &str = "catena.router.";
/// See [`LEASE`].
pub(crate) const WORKER: &str = "catena.worker.";

pub(crate) fn lease_of(stage: &str) -> String {
    format!("{LEASE}{stage}")
}

/// Seconds after which a lease that is not renewed is free.
pub(crate) const LEASE_SECONDS: u64 = 10;

/// How much the streams are to keep. What is not given stays as it is, or is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Copies of each message, on servers of their own; 3 by default.
    pub replicas: Option<u8>,
    /// Bytes of blocks that wait to be routed; 64 GiB by default. A full stream makes producers wait.
    pub waiting_bytes: Option<u64>,
    /// Bytes of outputs and findings in each stream that has some; 0, the default: as many as there is room for.
    pub output_bytes: Option<u64>,
    /// How long they are kept for their readers, in seconds; a week by default.
    pub output_seconds: Option<u64>,
}

/// How much the streams keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Copies of each message, on servers of their own.
    pub replicas: u8,
    /// Bytes of blocks that wait to be routed. A full stream makes producers wait.
    pub waiting_bytes: u64,
    /// Bytes of outputs and findings in each stream that has some, 0 for as many as there is room for, and how long they are kept for their
    /// readers, in seconds.
    pub output_bytes: u64,
    /// See `output_bytes`.
    pub output_seconds: u64,
}

impl Retention {
    /// With what is not given as it is.
    pub(crate) async fn settled(&self, nats: &Nats) -> Result<Kept, Error> {
        let input = nats.stream(IN).await?.unwrap_or_default();
        let output = nats.stream(OUT).await?.unwrap_or_default();
        // Streams have -1 for any number.
        let of =
            |config: &Value, setting: &str| config[setting].as_i64().map(|value| u64::try_from(value).unwrap_or(0));
        let replicas = of(&input, "num_replicas").and_then(|count| u8::try_from(count).ok());
        let seconds = of(&output, "max_age").map(|age| age / NANOSECONDS);
        Ok(Kept {
            replicas: self.replicas.or(replicas).unwrap_or(3),
            waiting_bytes: self.waiting_bytes.or(of(&input, "max_bytes")).unwrap_or(64 << 30),
            output_bytes: self.output_bytes.or(of(&output, "max_bytes")).unwrap_or(0),
            output_seconds: self.output_seconds.or(seconds).unwrap_or(7 * 86_400),
        })
    }
}

/// What a stream has that it should not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The stream.
    pub stream: String,
    /// The setting; `None` if the stream is missing.
    pub setting: Option<String>,
    /// The setting's value, as JSON.
    pub is: String,
    /// What it should be.
    pub should_be: String,
}

const NANOSECONDS: u64 = 1_000_000_000;

fn wanted(retention: &Kept) -> [Value; 6] {
    let stream = |name: &str, subjects: &[&str], max_bytes: u64, seconds: u64, per_subject: i64| {
        let (is_atomic, has_ttl) = ([IN, EVENTS, OUT].contains(&name), [EVENTS, OUT].contains(&name));
        json!({
            "name": name, "subjects": subjects, "retention": "limits", "storage": "file", "num_replicas": retention.replicas,
            // A full stream refuses; it never drops what nobody has read.
            "discard": "new",
            "max_bytes": if max_bytes == 0 { -1 } else { i64::try_from(max_bytes).unwrap_or(i64::MAX) },
            "max_age": seconds * NANOSECONDS, "max_msgs_per_subject": per_subject,
            "allow_atomic": is_atomic, "allow_msg_ttl": has_ttl, "allow_direct": false,
        })
    };
    // What passes the correlators by is an output, too.
    let event_bytes = if retention.output_bytes == 0 { 0 } else { retention.waiting_bytes + retention.output_bytes };
    let mut leases = stream(LEASES, &["catena.lease.*", "catena.router.*", "catena.worker.*.*.*"], 0, LEASE_SECONDS, 1);
    leases["discard"] = json!("old");
    let mut deployment = stream(DEPLOYMENT, &["catena.deployment", "catena.config.*"], 0, 0, 1);
    deployment["discard"] = json!("old");
    [
        stream(IN, &["catena.in.*", PLACES, "catena.files.*.*"], retention.waiting_bytes, 0, -1),
        stream(EVENTS, &["catena.events.*", COMMON, REST, ROUTED], event_bytes, 0, -1),
        stream(
            OUT,
            &["catena.out.*", "catena.findings.*", "catena.rejected.*", "catena.correlated.*", PIECES, JOINED],
            retention.output_bytes,
            retention.output_seconds,
            -1,
        ),
        stream(STATE, &["catena.state.*.*"], 0, 0, -1),
        deployment,
        leases,
    ]
}

/// What would have to change for the streams to be as wanted.
pub(crate) async fn differences(nats: &Nats, retention: &Kept) -> Result<Vec<Difference>, Error> {
    let mut all = Vec::new();
    for wanted in wanted(retention) {
        let name = wanted["name"].as_str().unwrap_or_default().to_owned();
        let Some(config) = nats.stream(&name).await? else {
            let (is, should_be) = ("missing".to_owned(), wanted.to_string());
            all.push(Difference { stream: name, setting: None, is, should_be });
            continue;
        };
        for (setting, value) in wanted.as_object().into_iter().flatten() {
            let is = config.get(setting).unwrap_or(&Value::Null);
            let is_default = is.is_null() && (value == &json!(false) || value == &json!(0));
            if is != value && !is_default {
                let setting = Some(setting.clone());
                let (is, should_be) = (is.to_string(), value.to_string());
                all.push(Difference { stream: name.clone(), setting, is, should_be });
            }
        }
    }
    Ok(all)
}

/// Makes the streams as wanted: creates what is missing, changes what differs.
pub(crate) async fn apply(nats: &Nats, retention: &Kept, differences: &[Difference]) -> Result<(), Error> {
    for wanted in wanted(retention) {
        let name = wanted["name"].as_str().unwrap_or_default();
        let mut of_stream = differences.iter().filter(|difference| difference.stream == name);
        let Some(first) = of_stream.next() else { continue };
        let verb = if first.setting.is_none() { "CREATE" } else { "UPDATE" };
        match nats.api(&format!("STREAM.{verb}.{name}"), &wanted).await {
            Answer::Ok(_) => {}
            Answer::Refused(error) => {
                let is_room = [code::NO_ROOM, code::STORAGE].contains(&error.err_code);
                let hint = if is_room {
                    "; a stream reserves --waiting-bytes (and --output-bytes) on each of its servers"
                } else {
                    ""
                };
                return Err(Error::Nats(format!("{name}: {}{hint}", error.description)));
            }
            Answer::Unknown(why) => return Err(Error::Nats(format!("{name}: {why}"))),
        }
    }
    if retention.replicas < 3 {
        warn!("streams have {} copies: what is on one server is lost with it", retention.replicas);
    }
    Ok(())
}
