//! A request that outlives the bytes it came in.
#![allow(dead_code, reason = "uploads, ranges and archives are built on it next")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use sockeye_http::{Framing, Method, Request};

/// A request, owned: for whatever is answered over several turns of the loop.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// Percent-encoded, as it was sent, from the first slash on; `*` or empty where the target has none.
    pub(super) path: String,
    /// Without the question mark.
    pub(super) query: Option<String>,
    pub(super) version: Version,
    /// The host it is for, with its port if one was named.
    pub(super) host: Option<String>,
    /// Lines of one name in their order.
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    pub(super) expects_continue: bool,
    /// The head itself, through the empty line.
    pub(super) head: Bytes,
}

impl Asked {
    /// `head` is the one that `request` was read from.
    pub(super) fn new(head: &[u8], request: &Request<'_, '_>) -> Asked {
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers() {
            // What the parser let through is a name and a value here too.
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        Asked {
            method: request.method().clone(),
            path: request.target().path().unwrap_or_default().to_owned(),
            query: request.target().query().map(str::to_owned),
            version: request.version(),
            host: request.host().map(|host| match host.port() {
                Some(port) => format!("{}:{port}", host.host()),
                None => host.host().to_owned(),
            }),
            headers,
            framing: request.body(),
            expects_continue: request.expect_continue(),
            head: Bytes::copy_from_slice(head),
        }
    }
}
