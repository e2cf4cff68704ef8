//! A response head has one answer however it arrives.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/http/tests/messages/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::response(data));
