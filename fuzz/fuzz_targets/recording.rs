//! A recording is read as it was written, and what it plays back can be drawn, whatever it holds.
#![no_main]

#[path = "../../crates/eye/tests/recordings/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::recording(data));
