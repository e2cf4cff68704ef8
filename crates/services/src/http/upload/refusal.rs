//! Why something was not written, as the client is told.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use rustix::io::Errno;
use sockeye_http::StatusCode;

use super::super::intake::IntakeError;
use super::super::reply::Reply;
use super::super::root::Refused;

/// A status and one line that names the cause and the way out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) detail: Cow<'static, str>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Said whenever something stands where nothing may be replaced.
pub(super) const EXISTS: &str = "it exists, and this server replaces nothing (--write=overwrite)";

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, detail: detail.into(), headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }

    /// Something is there already.
    pub(super) fn exists() -> Refusal {
        Refusal::new(StatusCode::CONFLICT, EXISTS)
    }

    /// A condition of the request does not hold (RFC 9110 §13.1).
    pub(super) fn condition() -> Refusal {
        Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "a condition of the request does not hold; nothing was changed",
        )
    }

    /// What the kernel says to a change of a folder or a file. Nothing of it happened.
    pub(super) fn of(errno: Errno) -> Refusal {
        let (status, detail) = match errno {
            Errno::NOSPC => (
                StatusCode::INSUFFICIENT_STORAGE,
                "the disk of the server is full; nothing was changed",
            ),
            Errno::DQUOT => (
                StatusCode::INSUFFICIENT_STORAGE,
                "the disk quota of the server is used up; nothing was changed",
            ),
            Errno::FBIG => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the file system of the server takes no file of this size",
            ),
            Errno::ACCESS | Errno::PERM => {
                (StatusCode::FORBIDDEN, "the server may not write there")
            }
            Errno::ROFS => (StatusCode::FORBIDDEN, "the file system of the server is read-only"),
            Errno::EXIST => (StatusCode::CONFLICT, EXISTS),
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => {
                (StatusCode::CONFLICT, "there is no such folder (MKCOL makes one)")
            }
            Errno::NAMETOOLONG | Errno::INVAL => {
                (StatusCode::BAD_REQUEST, "the file system of the server takes no such name")
            }
            Errno::NOTEMPTY => (StatusCode::CONFLICT, "the folder is not empty"),
            Errno::BUSY => (StatusCode::CONFLICT, "it is in use"),
            Errno::ISDIR => (StatusCode::CONFLICT, "a folder is there"),
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
                (StatusCode::SERVICE_UNAVAILABLE, "the server is short of resources; try again")
            }
            errno => {
                let detail = format!("the server could not write: {}", std::io::Error::from(errno));
                return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
            }
        };
        Refusal::new(status, detail)
    }

    /// Why the folder that something is to be in was not opened.
    pub(super) fn of_folder(refused: Refused) -> Refusal {
        match refused {
            Refused::NotFound => Refusal::of(Errno::NOENT),
            Refused::Forbidden => Refusal::of(Errno::ACCESS),
            Refused::Unavailable => Refusal::of(Errno::AGAIN),
        }
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.status == StatusCode::INSUFFICIENT_STORAGE
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Refusal {
        let detail = match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "longer than is taken here (--max-upload)".into(),
            _ => error.to_string(),
        };
        Refusal::new(error.status(), detail)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        match Errno::from_io_error(&error) {
            Some(errno) => Refusal::of(errno),
            None => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::of(errno)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        let mut reply = Reply::failure(refusal.status, &refusal.detail);
        for (name, value) in refusal.headers {
            reply = reply.header(name, value);
        }
        reply
    }
}
