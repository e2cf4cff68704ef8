//! A listing for programs: one JSON object, with one entry a line.

use serde::Serialize;
use sockeye_http::encode_segment;

use super::Listing;
use super::entries::{Entry, Kind};
use super::figures::rfc3339;

#[derive(Serialize)]
struct Shown<'e> {
    /// What is not UTF-8 is replaced; `href` is exact.
    name: &'e str,
    kind: &'static str,
    link: bool,
    size: Option<u64>,
    modified: Option<String>,
    href: Option<String>,
}

pub(super) fn begin(listing: &Listing, out: &mut String) {
    let path = String::from_utf8_lossy(&listing.path);
    let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
    out.push_str("{\"path\":");
    push(&path, out);
    out.push_str(",\"entries\":[");
}

pub(super) fn row(entry: &Entry<'_>, number: usize, out: &mut String) {
    out.push_str(if number == 0 { "\n" } else { ",\n" });
    let kind = match entry.kind {
        Kind::Folder => "folder",
        Kind::File => "file",
        Kind::Special => "special",
        Kind::Broken => "broken",
        Kind::Unknown => "unknown",
    };
    let slash = if entry.kind == Kind::Folder { "/" } else { "" };
    let leads = !matches!(entry.kind, Kind::Special | Kind::Broken);
    let shown = Shown {
        name: &String::from_utf8_lossy(entry.name),
        kind,
        link: entry.is_link,
        size: entry.size,
        modified: entry.modified.map(rfc3339),
        href: leads.then(|| format!("./{}{slash}", encode_segment(entry.name))),
    };
    push(&shown, out);
}

pub(super) fn end(out: &mut String) {
    out.push_str("\n]}\n");
}

fn push(value: &(impl Serialize + ?Sized), out: &mut String) {
    // Only a map with odd keys, or a serializer that fails, could fail here.
    out.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
}
