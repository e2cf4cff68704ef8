//! The header lines that describe a file as long as neither it nor the rules change.

use sockeye_http::{Coding, EntityTag, ImfFixdate, ResponseHead, StatusCode, header};

use super::SiteOptions;
use super::root::Identity;
use super::rules::Cors;

/// What pages of other origins may see besides the few headers that are always shown.
pub(super) const EXPOSED: &str = "Accept-Ranges, Content-Encoding, Content-Range, ETag, Location, Tus-Resumable, Upload-Length, Upload-Offset";

/// Lines of one representation, in the order in which they are sent.
#[derive(Debug)]
pub(super) struct Lines {
    bytes: Box<[u8]>,
    /// Where Content-Length stands, and where the lines begin that a 304 has too.
    length: usize,
    always: usize,
    /// The file may be had in several codings.
    pub(super) varies: bool,
}

/// A representation to be described.
pub(super) struct About<'a> {
    /// Of the file that was asked for, whatever its coding.
    pub(super) path: &'a [u8],
    pub(super) identity: &'a Identity,
    pub(super) tag: &'a EntityTag,
    pub(super) coding: Coding,
    /// Bytes, if they are known beforehand.
    pub(super) length: Option<u64>,
}

impl Lines {
    /// No file was changed after `now`, whatever its stamp says (RFC 9110 §8.8.2.1).
    pub(super) fn new(options: &SiteOptions, about: &About<'_>, now: i64) -> Lines {
        let name = about.path.rsplit(|byte| *byte == b'/').next().unwrap_or(about.path);
        let varies = options.files.varies(name);
        let mut out = Vec::with_capacity(384);
        let ruled = |name: &header::HeaderName| {
            options
                .rules
                .headers(about.path)
                .find(|(ours, _)| *ours == name)
                .map(|(_, value)| value)
        };
        let type_ = match ruled(&header::CONTENT_TYPE) {
            Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            None => options.files.content_type(name),
        };
        push(&mut out, |head| {
            head.header(&header::CONTENT_TYPE, type_)?;
            if about.coding != Coding::Identity {
                head.header(&header::CONTENT_ENCODING, about.coding.token())?;
            }
            // What is compressed anew each time has no bytes one could count on.
            let ranges = if about.length.is_some() { "bytes" } else { "none" };
            head.header(&header::ACCEPT_RANGES, ranges).map(drop)
        });
        let length = out.len();
        if let Some(length) = about.length {
            push(&mut out, |head| {
                head.content_length(length);
                Ok(())
            });
        }
        let always = out.len();
        push(&mut out, |head| {
            if let Some(modified) = about.identity.modified() {
                let modified = ImfFixdate::from_unix(modified.min(now));
                head.header(&header::LAST_MODIFIED, modified.as_bytes())?;
            }
            head.header(&header::ETAG, about.tag.as_str())?;
            if varies {
                head.header(&header::VARY, "Accept-Encoding")?;
            }
            match &options.rules.cors {
                Cors::Off => {}
                Cors::Any => {
                    head.header(&header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")?;
                    head.header(&header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
                }
                Cors::Origins(_) => {
                    head.header(&header::VARY, "Origin")?;
                }
            }
            for (name, value) in options.rules.headers(about.path) {
                if *name != header::CONTENT_TYPE {
                    head.header(name, value.as_bytes())?;
                }
            }
            Ok(())
        });
        Lines { bytes: out.into(), length, always, varies }
    }

    /// All of them, as for a 200.
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// Those of the content but for its length: a part has another.
    pub(super) fn of_content(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Those that a 304 has too (RFC 9110 §15.4.5).
    pub(super) fn always(&self) -> &[u8] {
        self.bytes.get(self.always..).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes lines as they stand in a head, without a status and an end.
fn push(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut ResponseHead<'_>) -> Result<(), sockeye_http::InvalidValue>,
) {
    let start = out.len();
    let mut head = ResponseHead::new(out, StatusCode::OK);
    let written = write(&mut head);
    debug_assert!(written.is_ok(), "types, dates, tags and rules hold no control characters");
    head.finish();
    let lines = out.get(start..).unwrap_or_default();
    let first = lines.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    out.truncate(out.len().saturating_sub(2));
    out.drain(start..start + first);
}
