//! Shared test support: small events and their records, a brute-force oracle, and runners for the native and the
//! sandboxed engine.
#![allow(dead_code, reason = "each test takes what it needs")]

pub mod any_rule;
pub mod forms;
pub mod oracle;
pub mod run;
pub mod schema;
pub mod sharded;

use catena::Timestamp;
use catena_synthetic::time_text;
use proptest::prelude::*;

/// 2026-01-05T10:00:00Z, in seconds since 1970.
pub const START: u64 = 1_767_607_200;
/// The processing time. It is later than every generated event, so none is dated in the future.
pub const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);
/// The window of `aws-snapshot-staging`, in seconds.
pub const WINDOW: u64 = 900;

/// A number of cases for proptest. Mutation testing runs fewer (`CATENA_CASES_DIVISOR`): most mutants fail any of them.
pub fn cases(count: u32) -> ProptestConfig {
    let divisor = std::env::var("CATENA_CASES_DIVISOR").ok().and_then(|divisor| divisor.parse().ok()).unwrap_or(1);
    ProptestConfig::with_cases((count / divisor).max(10))
}

/// A call of the kind that `aws-snapshot-staging` chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: u32,
    /// Seconds after [`START`].
    pub time: u64,
    pub identity: Option<&'static str>,
    pub failed: bool,
    pub call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    CreateVolume { volume: Option<&'static str> },
    CreateSnapshot { volume: Option<&'static str>, snapshot: Option<&'static str> },
    RunInstances { snapshots: Vec<&'static str> },
}

impl Event {
    /// The CloudTrail record, without the trailing LF.
    pub fn line(&self) -> String {
        let value =
            |name: &str, value: Option<&str>| value.map_or(String::new(), |value| format!(r#""{name}":"{value}""#));
        let (action, request, response) = match &self.call {
            Call::CreateVolume { volume } => ("CreateVolume", String::new(), value("volumeId", *volume)),
            Call::CreateSnapshot { volume, snapshot } => {
                ("CreateSnapshot", value("volumeId", *volume), value("snapshotId", *snapshot))
            }
            Call::RunInstances { snapshots } => {
                let items: Vec<_> =
                    snapshots.iter().map(|id| format!(r#"{{"ebs":{{"snapshotId":"{id}"}}}}"#)).collect();
                let request = format!(r#""blockDeviceMapping":{{"items":[{}]}}"#, items.join(","));
                ("RunInstances", request, format!(r#""instancesSet":{{"items":[{{"instanceId":"i-{}"}}]}}"#, self.id))
            }
        };
        let error = if self.failed { r#""errorCode":"Client.UnauthorizedOperation","# } else { "" };
        let identity = self.identity.map_or(String::new(), |name| format!(r#""arn":"arn:aws:iam::1:user/{name}""#));
        format!(
            r#"{{"eventID":"e{}","eventTime":"{}","eventSource":"ec2.amazonaws.com","eventName":"{action}",{error}"userIdentity":{{{identity}}},"recipientAccountId":"111122223333","requestParameters":{{{request}}},"responseElements":{{{response}}}}}"#,
            self.id,
            time_text(START + self.time)
        )
    }
}

/// Generates events with few distinct identities and resources, so that links, clashes and ties are common. The times
/// are at most `latest` seconds.
pub fn events(count: impl Into<prop::collection::SizeRange>, latest: u64) -> impl Strategy<Value = Vec<Event>> {
    let identity = prop::sample::select(vec![None, Some("alice"), Some("alice"), Some("bob")]);
    let time = prop_oneof![0..=latest, (0..=latest / 300).prop_map(|step| step * 300)];
    let event = (time, identity, prop::bool::weighted(0.05), call());
    prop::collection::vec(event, count).prop_map(|events| {
        let event = |(id, (time, identity, failed, call))| Event { id, time, identity, failed, call };
        (0..).zip(events).map(event).collect()
    })
}

fn call() -> impl Strategy<Value = Call> {
    let volume = || prop::sample::select(vec![None, Some("vol-1"), Some("vol-1"), Some("vol-2")]);
    let snapshot = || prop::sample::select(vec![None, Some("snap-1"), Some("snap-1"), Some("snap-2")]);
    prop_oneof![
        volume().prop_map(|volume| Call::CreateVolume { volume }),
        (volume(), snapshot()).prop_map(|(volume, snapshot)| Call::CreateSnapshot { volume, snapshot }),
        prop::collection::vec(prop::sample::select(vec!["snap-1", "snap-2", "snap-3"]), 0..3)
            .prop_map(|snapshots| Call::RunInstances { snapshots }),
    ]
}

/// The three events of one chain. The offsets are seconds after the first event.
pub fn chain(snapshot_after: u64, instance_after: u64) -> [Event; 3] {
    let event = |id, time, call| Event { id, time, identity: Some("alice"), failed: false, call };
    [
        event(1, 0, Call::CreateVolume { volume: Some("vol-1") }),
        event(2, snapshot_after, Call::CreateSnapshot { volume: Some("vol-1"), snapshot: Some("snap-1") }),
        event(3, instance_after, Call::RunInstances { snapshots: vec!["snap-1"] }),
    ]
}

/// The records of the events, each terminated by LF.
pub fn lines(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(|event| format!("{}\n", event.line()).into_bytes()).collect()
}
