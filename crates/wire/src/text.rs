//! Text in the encodings of the WHATWG, decoded as it arrives and without losing a byte.

mod decoder;
mod encoding;

pub use decoder::TextDecoder;
pub use encoding::{Encoding, ParseEncodingError, Unmappable};
