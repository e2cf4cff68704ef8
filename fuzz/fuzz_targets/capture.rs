//! Whatever a capture file holds, reading it ends, without a panic and within bounds.
#![no_main]

#[path = "../../crates/eye/tests/captures/hostile/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::capture(data));
