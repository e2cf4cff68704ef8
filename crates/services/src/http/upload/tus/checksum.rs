//! Upload-Checksum: what the bytes of one request must add up to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use sockeye_http::StatusCode;

use super::super::refusal::Refusal;

pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// The status of the protocol for bytes that do not match.
const MISMATCH: u16 = 460;

/// A checksum that a client announced, and that of what has come.
pub(super) struct Expected {
    sum: Vec<u8>,
    hasher: Hasher,
}

enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Expected {
    /// None if the client announced none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Expected>, Refusal> {
        let bad = || {
            let detail = format!("Upload-Checksum must be one of {ALGORITHMS} and base64");
            Refusal::new(StatusCode::BAD_REQUEST, detail)
        };
        let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
        let (algorithm, sum) =
            value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(bad)?;
        let (hasher, length) = match algorithm {
            "sha1" => (Hasher::Sha1(Sha1::new()), 20),
            "sha256" => (Hasher::Sha256(Sha256::new()), 32),
            _ => return Err(bad()),
        };
        let sum = STANDARD.decode(sum.trim()).map_err(|_| bad())?;
        if sum.len() == length { Ok(Some(Expected { sum, hasher })) } else { Err(bad()) }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the bytes are those that were meant.
    pub(super) fn check(self) -> Result<(), Refusal> {
        let found = match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize().to_vec(),
            Hasher::Sha256(hasher) => hasher.finalize().to_vec(),
        };
        if found == self.sum {
            return Ok(());
        }
        let status = StatusCode::from_u16(MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
        Err(Refusal::new(status, "the checksum does not match; these bytes were dropped"))
    }
}
