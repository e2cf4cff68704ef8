//! How much of a request head is read before giving up on it.

/// Bounds on a request head. Every one has a default; each may be set.
///
/// ```
/// let limits = sockeye_http::Limits { target_bytes: 1024, ..Default::default() };
/// assert_eq!(limits.headers, 128);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, from the first byte to the empty line included. Default 64 KiB.
    /// A longer one is answered with 431.
    pub head_bytes: usize,
    /// Number of header field lines. Default 128, and never more than the
    /// [`HeaderStorage`](crate::HeaderStorage) has room for. More are answered with 431.
    pub headers: usize,
    /// Bytes of the request-target. Default 8 KiB (RFC 9112 §3 asks for at least 8000 octets of
    /// request-line). A longer one is answered with 414.
    pub target_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 64 * 1024, headers: 128, target_bytes: 8 * 1024 }
    }
}
