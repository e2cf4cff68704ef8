//! What one does with a connection: services, each written once and run by every driver.
//!
//! - [`http`]: a folder served over HTTP/1.1.

pub mod http;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
