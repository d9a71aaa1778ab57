//! Whatever a configuration says, its rules compile or are refused with an error, and it can be written and read again.

#![no_main]

use catena::{Config, Correlator};
use libfuzzer_sys::fuzz_target;

const RECORDS: &[u8] = br#"{"eventID":"1","eventTime":"2026-01-05T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","userIdentity":{"arn":"a"},"requestParameters":{"volumeId":"v"},"responseElements":{"instancesSet":{"items":[{"instanceId":"i"}]}}}
{"operationName":"MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE","resultType":"Success","time":"2026-01-05T10:00:00Z","resourceId":"/subscriptions/s/resourceGroups/r/providers/p","caller":"a"}
"#;

fuzz_target!(|text: &str| {
    let Ok(config) = text.parse::<Config>() else { return };
    assert_eq!(config.to_json().parse::<Config>().expect("its own JSON should be read"), config);
    let Ok(mut correlator) = Correlator::new(config.clone()) else { return };
    // A configuration may refuse the batch as too long.
    let _ = correlator.process(RECORDS, None);
    correlator.check();
    Correlator::resume(config, &correlator.checkpoint()).expect("its checkpoint should resume").check();
});
