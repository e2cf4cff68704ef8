//! Seeing: records of calls, messages and segments, joined on one byte axis and drawn.

pub mod capture;
pub mod datagram;
pub mod finding;
pub mod frame;
pub mod kernel;
pub mod pair;
pub mod pcap;
pub mod record;
pub mod recorder;
pub mod recording;
pub mod timeline;
pub mod verdict;
pub mod view;
mod whole;
pub mod words;
