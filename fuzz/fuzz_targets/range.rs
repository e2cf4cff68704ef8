//! The parts that are sent of a representation lie within it, none of its bytes twice.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/http/tests/messages/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::range(data));
