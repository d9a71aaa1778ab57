//! The reader accepts what serde_json accepts, and keeps the same values.

#![no_main]

use std::sync::OnceLock;

use catena::{Config, Correlator};
use libfuzzer_sys::fuzz_target;

static CORRELATOR: OnceLock<Correlator> = OnceLock::new();

fuzz_target!(|record: &[u8]| {
    let correlator = CORRELATOR.get_or_init(|| Correlator::new(Config::default()).expect("the built-in rules are valid"));
    correlator.check_reader(record);
});
