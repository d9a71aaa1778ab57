//! Whatever a checkpoint holds, resuming from it fails with an error or gives a correlator whose state is consistent,
//! even if the checksum is right.

#![no_main]

use std::hash::Hasher;

use catena::{Config, Correlator, Timestamp};
use libfuzzer_sys::fuzz_target;
use siphasher::sip::SipHasher13;

/// A call that joins with what a checkpoint may hold.
const RECORD: &[u8] = br#"{"eventID":"1","eventTime":"2026-01-05T10:00:00Z","eventSource":"ec2.amazonaws.com","eventName":"CreateSnapshot","userIdentity":{"arn":"a"},"requestParameters":{"volumeId":"v"},"responseElements":{"snapshotId":"s"}}"#;

fuzz_target!(|bytes: &[u8]| {
    let mut sealed = bytes.to_vec();
    // With header and checksum repaired, the fuzzer gets past them.
    if sealed.len() > 16 {
        sealed.truncate(sealed.len() - 8);
        sealed[..6].copy_from_slice(b"CATENA");
        sealed[6..8].copy_from_slice(&(1 + u16::from(bytes[6]) % 2).to_le_bytes());
        let mut hasher = SipHasher13::new();
        hasher.write(&sealed);
        sealed.extend_from_slice(&hasher.finish().to_le_bytes());
    }
    for checkpoint in [bytes, &sealed] {
        let Ok(mut resumed) = Correlator::resume(Config::default(), checkpoint) else { continue };
        resumed.check();
        resumed.process(RECORD, Timestamp::from_millis(1_900_000_000_000)).expect("the batch should be processed");
        resumed.check();
        let again = resumed.checkpoint();
        Correlator::resume(Config::default(), &again).expect("its own checkpoint should resume").check();
    }
});
