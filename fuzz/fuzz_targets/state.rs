//! No bytes make the reader of a run's state panic or give out more than there is, whether or not the checksum is valid.

#![no_main]

use std::hash::Hasher as _;

use bytes::Bytes;
use catena_input::sealed::unseal;
use libfuzzer_sys::fuzz_target;

const FORMAT: &str = "catena run state 3";

fuzz_target!(|content: &[u8]| {
    let _ = unseal(FORMAT, &Bytes::copy_from_slice(content));
    let mut sealed = [FORMAT.as_bytes(), b"\n", content].concat();
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(&sealed);
    sealed.extend_from_slice(&hasher.finish().to_le_bytes());
    if let Ok(parts) = unseal(FORMAT, &Bytes::from(sealed)) {
        assert!(parts.iter().map(Bytes::len).sum::<usize>() <= content.len());
    }
});
