//! Messages on a stream: how their borders are marked, found again and written.
//!
//! ```
//! use sockeye_wire::frame::{Decoder, Framing};
//!
//! let framing: Framing = "length=u16".parse()?;
//! let mut wire = Vec::new();
//! framing.encode(b"hello", &mut wire)?;
//! framing.encode(b"", &mut wire)?;
//! assert_eq!(wire, b"\x00\x05hello\x00\x00");
//!
//! let mut decoder = Decoder::new(framing);
//! decoder.push_slice(&wire[..4]);
//! assert_eq!(decoder.next()?, None);
//! decoder.push_slice(&wire[4..]);
//! let frame = decoder.next()?.expect("a whole frame");
//! assert_eq!(frame.payload, "hello");
//! assert_eq!((frame.range, frame.payload_range), (0..7, 2..7));
//! assert!(decoder.finish()?.is_some_and(|frame| frame.payload.is_empty()));
//! assert!(decoder.finish()?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod encode;
mod error;
mod framing;
mod measure;
mod parse;

pub use decoder::{DEFAULT_MAX_FRAME, Decoder, Frame};
pub use error::{EncodeError, FrameError, FrameErrorKind};
pub use framing::{Delimiter, Framing, Length};
pub use parse::ParseFramingError;
