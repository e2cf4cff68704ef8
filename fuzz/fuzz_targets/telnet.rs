//! A Telnet stream is heard alike however it is cut, and no two ends talk for ever.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/wire/tests/codecs/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::telnet(data));
