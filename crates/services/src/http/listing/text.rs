//! A listing for a terminal: time, size and name, one entry a line.

use std::fmt::Write as _;

use sockeye_wire::escape::Escaped;

use super::Listing;
use super::entries::{Entry, Kind};
use super::figures::{Size, day, minute, rfc3339};

/// `2026-11-21 20:27   1.4 KiB  name`, in UTC. A folder has a slash behind its name.
pub(super) fn row(listing: &Listing, entry: &Entry<'_>, out: &mut String) {
    let _ = match entry.modified.map(rfc3339) {
        Some(time) => write!(out, "{} {}", day(&time), minute(&time)),
        None => write!(out, "{:16}", "-"),
    };
    let width = listing.width;
    let _ = match entry.size {
        Some(size) if listing.wanted.exact => write!(out, "  {size:>width$}"),
        Some(size) => write!(out, "  {:>8}", Size(size)),
        None if listing.wanted.exact => write!(out, "  {:>width$}", "-"),
        None => write!(out, "  {:>8}", "-"),
    };
    let _ = write!(out, "  {}", Escaped(entry.name));
    out.push_str(match (entry.kind, entry.is_link) {
        (Kind::Folder, false) => "/\n",
        (Kind::Folder, true) => "/ (link)\n",
        (Kind::Broken, _) => " (broken link)\n",
        (Kind::Special, _) => " (not a file)\n",
        (_, true) => " (link)\n",
        (_, false) => "\n",
    });
}
