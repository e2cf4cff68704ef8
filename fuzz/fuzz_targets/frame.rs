//! A stream has one reading in every framing, however it is cut, and frames come back as written.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/wire/tests/codecs/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::frame(data));
