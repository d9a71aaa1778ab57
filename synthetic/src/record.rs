use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Random;

/// A CloudTrail record before serialization.
#[derive(Clone, Debug)]
pub struct Record {
    /// The identity: the number of an IAM user.
    pub identity: u64,
    /// The event time, in seconds since 1970.
    pub time: u64,
    /// Unique per record; its ids are derived from it and the seed.
    pub number: u64,
    /// The API call.
    pub call: Call,
}

/// An API call: the fields of a record that depend on it.
#[derive(Clone, Debug)]
pub struct Call {
    /// `eventSource`.
    pub service: &'static str,
    /// `eventName`.
    pub action: &'static str,
    /// `errorCode`, if it failed.
    pub error: Option<&'static str>,
    /// `requestParameters`, as JSON.
    pub request: String,
    /// `responseElements`, as JSON.
    pub response: String,
}

const NOISE: &[(&str, &str)] = &[
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("ec2.amazonaws.com", "DescribeVolumes"),
    ("ec2.amazonaws.com", "DescribeSnapshots"),
    ("sts.amazonaws.com", "AssumeRole"),
    ("sts.amazonaws.com", "GetCallerIdentity"),
    ("kms.amazonaws.com", "Decrypt"),
    ("kms.amazonaws.com", "GenerateDataKey"),
    ("s3.amazonaws.com", "GetBucketAcl"),
    ("s3.amazonaws.com", "PutObject"),
    ("iam.amazonaws.com", "ListRoles"),
    ("logs.amazonaws.com", "CreateLogStream"),
    ("dynamodb.amazonaws.com", "DescribeTable"),
    ("lambda.amazonaws.com", "ListFunctions20150331"),
    ("monitoring.amazonaws.com", "PutMetricAlarm"),
];

const AGENTS: &[&str] = &[
    "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.173.0",
    "Boto3/1.34.150 md/Botocore#1.34.150 ua/2.0 os/linux#5.10.223 md/arch#x86_64 lang/python#3.12.4",
    "aws-cli/2.17.20 md/awscrt#0.21.2 ua/2.0 os/macos#23.6.0 md/arch#arm64 lang/python#3.11.9 md/prompt#off",
    "APN/1.0 HashiCorp/1.0 Terraform/1.9.3 (+https://www.terraform.io) terraform-provider-aws/5.60.0",
];

impl Call {
    /// A call that no rule matches.
    pub fn noise(random: &mut Random) -> Self {
        let (service, action) = *random.pick(NOISE);
        let items: Vec<_> = (0..3 + random.below(3))
            .map(|_| {
                format!(
                    r#"{{"name":"tag:team","value":"{}","id":"vol-{}"}}"#,
                    random.hexadecimal(12),
                    random.hexadecimal(17)
                )
            })
            .collect();
        Self {
            service,
            action,
            error: None,
            request: format!(
                r#"{{"maxResults":1000,"nextToken":"{}","filterSet":{{"items":[{}]}}}}"#,
                random.hexadecimal(64),
                items.join(",")
            ),
            response: "null".to_owned(),
        }
    }

    /// A call that a step of a rule names, with random ids that link it to no other event.
    pub fn of_interest(random: &mut Random) -> Self {
        let (first, second) = (random.hexadecimal(17), random.hexadecimal(17));
        match random.below(4) {
            0 => Self::create_volume(&first),
            1 => Self::create_snapshot(&first, &second),
            2 => Self::run_instances(&first, &second),
            _ => Self { error: Some("Client.UnauthorizedOperation"), ..Self::run_instances(&first, &second) },
        }
    }

    fn ec2(action: &'static str, request: String, response: String) -> Self {
        Self { service: "ec2.amazonaws.com", action, error: None, request, response }
    }

    /// CreateVolume, with the 17 digits of the new volume's id.
    pub fn create_volume(volume: &str) -> Self {
        Self::ec2(
            "CreateVolume",
            r#"{"size":"8","zone":"us-east-1a","volumeType":"gp3"}"#.to_owned(),
            format!(
                r#"{{"volumeId":"vol-{volume}","size":"8","zone":"us-east-1a","status":"creating","volumeType":"gp3"}}"#
            ),
        )
    }

    /// CreateSnapshot of a volume.
    pub fn create_snapshot(volume: &str, snapshot: &str) -> Self {
        Self::ec2(
            "CreateSnapshot",
            format!(r#"{{"volumeId":"vol-{volume}","description":"backup"}}"#),
            format!(
                r#"{{"snapshotId":"snap-{snapshot}","volumeId":"vol-{volume}","status":"pending","volumeSize":"8","ownerId":"111122223333"}}"#
            ),
        )
    }

    /// RunInstances with a block device made from a snapshot.
    pub fn run_instances(snapshot: &str, instance: &str) -> Self {
        Self::ec2(
            "RunInstances",
            format!(
                r#"{{"instancesSet":{{"items":[{{"imageId":"ami-0abcdef1234567890","minCount":1,"maxCount":1}}]}},"instanceType":"t3.micro","blockDeviceMapping":{{"items":[{{"deviceName":"/dev/sdf","ebs":{{"snapshotId":"snap-{snapshot}","deleteOnTermination":true}}}}]}},"monitoring":{{"enabled":false}}}}"#
            ),
            format!(
                r#"{{"reservationId":"r-{instance}","ownerId":"111122223333","groupSet":{{}},"instancesSet":{{"items":[{{"instanceId":"i-{instance}","imageId":"ami-0abcdef1234567890","instanceState":{{"code":0,"name":"pending"}},"instanceType":"t3.micro","blockDeviceMapping":{{}}}}]}}}}"#
            ),
        )
    }
}

impl Record {
    /// The record as CloudTrail writes it, without LF.
    pub fn line(&self, seed: u64) -> String {
        write(&format!("user-{}", self.identity), self.time, seed.wrapping_mul(31) ^ (self.number << 20), &self.call)
    }
}

/// The three records of a chain: a volume, its snapshot 11 s later, and, 135 s after the volume, an instance that
/// mounts the snapshot.
pub fn chain(identity: &str, start: u64, seed: u64) -> [String; 3] {
    let mut random = Random::new(seed);
    let (volume, snapshot, instance) = (random.hexadecimal(17), random.hexadecimal(17), random.hexadecimal(17));
    [
        write(identity, start, random.number(), &Call::create_volume(&volume)),
        write(identity, start + 11, random.number(), &Call::create_snapshot(&volume, &snapshot)),
        write(identity, start + 135, random.number(), &Call::run_instances(&snapshot, &instance)),
    ]
}

fn write(user: &str, time: u64, seed: u64, call: &Call) -> String {
    let mut random = Random::new(seed);
    let Call { service, action, error, request, response } = call;
    let response = if error.is_some() { "null" } else { response };
    let error = error.map_or(String::new(), |code| format!(r#""errorCode":"{code}","errorMessage":"refused","#));
    let agent = *random.pick(AGENTS);
    let (address, key, request_id, event_id) =
        (random.below(254) + 1, random.hexadecimal(16).to_uppercase(), random.uuid(), random.uuid());
    let time = time_text(time);
    format!(
        r#"{{"eventVersion":"1.10","userIdentity":{{"type":"IAMUser","principalId":"AIDAEXAMPLE{key}","arn":"arn:aws:iam::111122223333:user/{user}","accountId":"111122223333","accessKeyId":"AKIA{key}","userName":"{user}"}},"eventTime":"{time}","eventSource":"{service}","eventName":"{action}","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.{address}","userAgent":"{agent}",{error}"requestParameters":{request},"responseElements":{response},"requestID":"{request_id}","eventID":"{event_id}","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{service}"}}}}"#
    )
}

/// A time as CloudTrail writes it, from seconds since 1970.
///
/// # Panics
///
/// If the year has more than four digits.
pub fn time_text(seconds: u64) -> String {
    let time = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
    time.format(&Rfc3339).expect("RFC 3339 has four-digit years")
}
