//! Conditions, ranges and codings a client asks for have one outcome, which its method allows.
#![no_main]

#[expect(dead_code, reason = "each target uses one check")]
#[path = "../../crates/http/tests/messages/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::conditional(data));
