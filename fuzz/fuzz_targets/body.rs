//! A request body has one answer wherever it is cut.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/http/tests/messages/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::body(data));
