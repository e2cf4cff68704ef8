//! A form has one meaning however its bytes are cut.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/http/tests/messages/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::multipart(data));
