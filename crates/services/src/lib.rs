//! What one does with a connection: services, each written once and run by every driver.
//!
//! - [`echo`](mod@echo): sends back what comes, or takes it and does nothing.
//! - [`guard`]: how much a service of datagrams may send because of what it gets.
//! - [`http`]: a folder served over HTTP/1.1.

pub mod echo;
pub mod guard;
pub mod http;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
