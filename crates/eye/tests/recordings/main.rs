//! Recordings: played back they are what was seen, and nothing that a file may hold does any harm.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any;
mod checks;
mod corpus;
mod live;
#[path = "../support/mod.rs"]
mod support;
