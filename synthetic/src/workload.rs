//! Streams of one kind of record each, to measure what it costs.

use crate::shapes::sentinel_row;
use crate::{Call, Random, Record};

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A record that names no action of a rule.
    Noise,
    /// A record that names an action of a rule and is a call to another service.
    ReadOnly,
    /// A CreateVolume that completes no chain.
    Volume,
    /// A CreateSnapshot that completes no chain.
    Snapshot,
    /// A RunInstances, which is a detection and completes no chain.
    Launch,
    /// A RunInstances that was refused, which no rule matches.
    FailedLaunch,
    /// All of the four above in turns: one in four completes a finding, one in four is refused.
    Mixed,
    /// A CreateSnapshot as a row of a Microsoft Sentinel table: the bodies of request and response are JSON in text.
    SnapshotInText,
    /// A CreateSnapshot with only the members that the engine needs: 0.5 KB.
    SmallSnapshot,
    /// A CreateSnapshot of 64 KiB, most of it in a request parameter that no rule names.
    LargeSnapshot,
}

impl Workload {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Noise,
        Self::ReadOnly,
        Self::Volume,
        Self::Snapshot,
        Self::Launch,
        Self::FailedLaunch,
        Self::Mixed,
        Self::SnapshotInText,
        Self::SmallSnapshot,
        Self::LargeSnapshot,
    ];

    /// A few words on it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::ReadOnly => "read, no match",
            Self::Volume => "CreateVolume",
            Self::Snapshot => "CreateSnapshot",
            Self::Launch => "RunInstances",
            Self::FailedLaunch => "RunInstances, refused",
            Self::Mixed => "all of them",
            Self::SnapshotInText => "JSON in text",
            Self::SmallSnapshot => "small records",
            Self::LargeSnapshot => "64 KiB records",
        }
    }

    /// Records of this kind, numbered from `first` on, each terminated by LF: 20 a second, of 200 identities in no order. All ids
    /// are distinct.
    pub fn bytes(self, first: u64, records: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in first..first + records {
            bytes.extend_from_slice(self.line(number).as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    fn line(self, number: u64) -> String {
        if self == Self::Mixed {
            let turns = [Self::Volume, Self::Snapshot, Self::Launch, Self::FailedLaunch];
            return turns[number as usize % turns.len()].line(number);
        }
        let mut random = Random::new(number ^ 0xCA7E_4A00_0000_0000);
        let (first, second) = (random.hexadecimal(17), random.hexadecimal(17));
        let call = match self {
            Self::Noise => Call::noise(&mut random),
            Self::ReadOnly => Call { service: "ecs.amazonaws.com", ..Call::run_instances(&first, &second) },
            Self::Volume => Call::create_volume(&first),
            Self::Launch => Call::run_instances(&first, &second),
            Self::FailedLaunch => {
                Call { error: Some("Client.UnauthorizedOperation"), ..Call::run_instances(&first, &second) }
            }
            // A mixed stream is made of the others.
            Self::Mixed | Self::Snapshot | Self::SnapshotInText | Self::SmallSnapshot => {
                Call::create_snapshot(&first, &second)
            }
            Self::LargeSnapshot => {
                let call = Call::create_snapshot(&first, &second);
                let tag = |_| format!(r#"{{"key":"{}","value":"{}"}}"#, random.hexadecimal(20), random.hexadecimal(60));
                let tags: Vec<_> = (0..640).map(tag).collect();
                let request = call.request.trim_end_matches('}');
                Call { request: format!(r#"{request},"tagSet":{{"items":[{}]}}}}"#, tags.join(",")), ..call }
            }
        };
        let time = 1_767_607_200 + number / 20;
        let line = Record { identity: random.below(200), time, number, call }.line(3);
        let parsed = || serde_json::from_str::<serde_json::Value>(&line).expect("a record is JSON");
        match self {
            Self::SnapshotInText => sentinel_row(&parsed()).to_string(),
            Self::SmallSnapshot => {
                let mut record = parsed();
                let members = record.as_object_mut().expect("a record is an object");
                let unneeded = ["userAgent", "requestID", "tlsDetails", "eventVersion", "managementEvent", "readOnly"];
                unneeded.into_iter().for_each(|name| drop(members.remove(name)));
                let identity = serde_json::json!({"arn": record["userIdentity"]["arn"]});
                record["userIdentity"] = identity;
                record.to_string()
            }
            _ => line,
        }
    }
}
