//! What can be wrong with the frames of a peer, and with a payload that is to become a frame.

/// A stream that does not hold to its framing. Nothing behind it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the stream: {kind}")]
pub struct FrameError {
    /// Where on the stream, in bytes from its beginning; see [`FrameErrorKind`] for what of it.
    pub offset: u64,
    /// What is wrong.
    pub kind: FrameErrorKind,
}

/// What is wrong with a stream. "At" says where [`FrameError::offset`] points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameErrorKind {
    /// A header announces more than is allowed. At the first byte of the header.
    #[error(
        "the frame announces {length} bytes, more than the {max} allowed; allow more, or look \
         whether the peer frames as you do"
    )]
    Announced {
        /// The announced length of the payload, in bytes.
        length: u64,
        /// The longest payload allowed, in bytes.
        max: usize,
    },
    /// No border where one would have to be. At the first byte that is too many.
    #[error(
        "no border within {max} bytes, which is the longest frame allowed; allow more, or look \
         whether the peer frames as you do"
    )]
    NoBorder {
        /// The longest payload allowed, in bytes.
        max: usize,
    },
    /// A netstring does not end with `,`. At the byte found in its place.
    #[error(
        "a netstring ends with 0x{found:02x} where `,` belongs; the peer counts otherwise, or \
         frames otherwise"
    )]
    NetstringEnd {
        /// The byte found instead.
        found: u8,
    },
    /// A byte in the length of a netstring that does not belong there. At that byte.
    #[error(
        "0x{found:02x} in the length of a netstring, where a digit or `:` belongs (no leading \
         zero, no sign); look whether the peer frames as you do"
    )]
    NetstringLength {
        /// The byte found instead.
        found: u8,
    },
    /// The length of a netstring takes more than 64 bits. At the first byte of the length.
    #[error(
        "the length of a netstring does not fit into 64 bits; look whether the peer frames as \
         you do"
    )]
    NetstringOverflow,
    /// The stream ended within a frame. At the end of the stream.
    #[error(
        "the stream ends within the frame that begins at byte {start}: at least {missing} more \
         bytes belong to it; the peer closed early, or frames otherwise"
    )]
    Truncated {
        /// Where the frame begins on the stream.
        start: u64,
        /// How many bytes are missing. Exact once the header is whole, at least one before.
        missing: u64,
    },
    /// A varint takes more bytes than need be. At its last byte.
    #[error(
        "a varint ends with a zero byte, which one reading alone does not allow; look whether \
         the peer frames as you do"
    )]
    VarintOverlong,
    /// A varint takes more than 64 bits. At its tenth byte.
    #[error("a varint does not fit into 64 bits; look whether the peer frames as you do")]
    VarintOverflow,
}

/// A payload that the framing can't carry. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The payload would be cut there when it is read.
    #[error(
        "byte {offset} of the payload would be read as the border; send it in pieces, or take a \
         framing that carries any bytes, as length=u32"
    )]
    Border {
        /// Where the first border would be found, in bytes from the beginning of the payload.
        offset: usize,
    },
    /// The payload has not the size all frames have.
    #[error("the payload has {got} bytes, and each frame has {size}; pad it, or cut it")]
    Size {
        /// The size of all frames, in bytes.
        size: usize,
        /// The size of the payload, in bytes.
        got: usize,
    },
    /// The payload is longer than the length can say.
    #[error(
        "the payload has {got} bytes, more than the {max} its length can say; take a wider one, \
         as length=u32"
    )]
    TooLong {
        /// The longest payload that can be said, in bytes.
        max: u64,
        /// The size of the payload, in bytes.
        got: usize,
    },
}
