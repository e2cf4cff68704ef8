//! The only crate that waits: drivers, tasks, timers, buffers, endpoints, sockets.

pub mod probe;
