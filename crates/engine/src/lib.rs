//! The only crate that waits: drivers, tasks, timers, buffers, endpoints, sockets.
//!
//! A service is one async function over a [`Stream`] and runs on every driver. Threads share
//! nothing: a task stays on the thread that started it, and its future need not be `Send`.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//! use sockeye_engine::{Bound, DriverKind, ServeOptions, Stream};
//!
//! async fn echo(mut stream: Stream) {
//!     while let Ok(Some(chunk)) = stream.recv_idle().await {
//!         if chunk.is_empty() {
//!             break;
//!         }
//!         stream.write(&chunk);
//!         drop(chunk);
//!         if stream.flush().await.is_err() {
//!             break;
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ServeOptions {
//!     driver: DriverKind::Uring,
//!     threads: Some(2),
//!     max_connections: 10_000,
//!     grace: Duration::from_secs(5),
//!     probe: None,
//!     notice: Arc::new(|notice| eprintln!("{notice:?}")),
//! };
//! let bound = Bound::listen(&["tcp://127.0.0.1:7".parse()?], options)?;
//! let serving = bound.start(echo)?;
//! serving.stop();
//! serving.join();
//! # Ok(())
//! # }
//! ```

mod address;
mod buffer;
mod capability;
mod connect;
mod control;
mod datagram;
mod deadline;
mod describe;
mod driver;
mod drivers;
mod endpoint;
mod engine;
mod error;
mod error_queue;
#[doc(hidden)]
pub mod fault;
mod file;
mod first;
mod holder;
mod icmp;
mod inbox;
mod inherited;
mod interfaces;
mod listener;
mod marker;
mod message;
mod offload;
mod peek;
pub mod probe;
mod ration;
mod reactor;
mod receive_options;
mod seqpacket;
mod serve;
pub mod sim;
mod slab;
mod socket_options;
mod splice;
mod split;
mod standard;
mod stream;
mod sync;
mod timer;
mod unix;
mod waker;

pub use address::{Address, UnixAddress};
pub use buffer::Chunk;
pub use capability::{Capabilities, Growth, Told};
pub use datagram::Datagram;
pub use describe::{OptionRow, OptionValue, SocketDescription, describe};
pub use driver::{DriverKind, UnknownDriver};
pub use endpoint::{
    BoundSocket, ConnectError, Connected, Endpoint, EndpointError, EndpointKind, ListenError,
    Listening,
};
pub use engine::{
    Engine, Sleep, Stopper, Turn, Usage, elapsed, sleep, spawn, stopped, stopping, turn, unix_now,
    usage,
};
pub use error::CallError;
pub use error_queue::Event;
pub use file::File;
pub use first::{Either, first};
pub use icmp::IpVersion;
pub use inherited::{
    HANDOVER, Handover, InheritError, Inherited, READY, inherited, tell_predecessor,
};
pub use interfaces::{Interface, InterfaceAddress, interfaces};
pub use listener::{BACKLOG, Listener};
pub use marker::Marker;
pub use message::{Ancillary, Credentials, Local, Origin, QueuedError, Received};
pub use offload::offload;
pub use seqpacket::SeqpacketListener;
pub use serve::{Bound, Notice, ServeOptions, Serving};
pub use socket_options::{
    Keepalive, LocalEnd, OptionFailed, OptionHelp, Owner, Purpose, SocketOptions, option_help,
};
pub use splice::Pipe;
pub use split::{Reader, Writer};
pub use standard::{Backlog, RelayError, Sink, Source, stdout_was_open};
pub use stream::Stream;

// The example of the README is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
