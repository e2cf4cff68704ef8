//! What one does with a connection: services, each written once and run by every driver.
//!
//! - [`broker`]: what one client sends goes to all others.
//! - [`chat`](mod@chat): a room in which people with names talk in lines.
//! - [`echo`](mod@echo): sends back what comes, or takes it and does nothing.
//! - [`exec`](mod@exec): a program of one's own for each connection.
//! - [`guard`]: how much a service of datagrams may send because of what it gets.
//! - [`http`]: a folder served over HTTP/1.1.
//! - [`small`]: the services of RFC 862 to 867, over streams and datagrams.

pub mod broker;
pub mod chat;
pub mod echo;
pub mod exec;
pub mod guard;
pub mod http;
pub mod small;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
