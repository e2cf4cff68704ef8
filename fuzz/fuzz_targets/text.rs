//! Bytes are one text in every encoding, however they are cut.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/wire/tests/codecs/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::text(data));
