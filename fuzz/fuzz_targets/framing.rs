//! A framing is shown as it is read, and no error can be obeyed by a terminal.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/wire/tests/codecs/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::framing(data));
