//! Bytes with meaning, without HTTP: escapes, messages on a stream, text, Telnet, packets, TCP
//! sequence numbers and states.
//! Pure: no socket, no clock, no thread, no terminal.

pub mod escape;
pub mod frame;
pub mod hex;
pub mod layers;
pub mod packet;
pub mod tcp;
pub mod telnet;
pub mod text;

// The example of the README is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
