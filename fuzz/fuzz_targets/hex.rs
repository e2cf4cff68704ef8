//! A dump is read back, and any text is bytes or an error.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/wire/tests/codecs/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::hex(data));
