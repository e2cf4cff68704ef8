//! A listing as a page: a table that needs no script, and a script that makes it quick to use.

use std::fmt::Write as _;

use html_escape::encode_text;
use sockeye_http::encode_segment;
use sockeye_wire::escape::Escaped;

use super::super::answer::Grouped;
use super::Listing;
use super::entries::{Entry, Kind};
use super::figures::{Size, day, minute, rfc3339};
use super::wanted::{ARCHIVES, Form, Sort, Wanted};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a browser compares [`STYLE`] and [`SCRIPT`] with before it takes them (CSP 3 §2.3.1).
pub(super) const STYLE_HASH: &str = "sha256-so5OpZIZkoyf0jUuv5ffr8v5ZQsPu1d4o8HzqVrkGWo=";
pub(super) const SCRIPT_HASH: &str = "sha256-fUwvvI9+I7jGzlZgrtW2d/VoaxQiJKw/SFbhwDKwQlw=";

/// The Content-Security-Policy: the page asks for nothing, and runs nothing but what is in it.
pub(super) fn policy(listing: &Listing) -> String {
    let mut policy =
        format!("default-src 'none'; style-src '{STYLE_HASH}'; script-src '{SCRIPT_HASH}'");
    let addition = &listing.addition;
    if !addition.script.is_empty() {
        let _ = write!(policy, " '{}'; connect-src 'self'", addition.script_hash);
    }
    policy.push_str("; form-action 'self'; base-uri 'none'; frame-ancestors 'self'");
    policy
}

pub(super) fn begin(listing: &Listing, out: &mut String) {
    let path = &listing.path;
    let title = if path.is_empty() { "/".to_owned() } else { format!("/{}/", Escaped(path)) };
    let title = encode_text(&title);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<main>\n"
    );
    trail(path, out);
    bar(listing, out);
    out.push_str(&listing.addition.html);
    let _ = write!(out, "<table>\n<caption>Files in {title}</caption>\n<thead><tr>\n");
    let wanted = &listing.wanted;
    let by_name = if wanted.sort == Sort::Name { Sort::Name } else { Sort::Natural };
    heading(wanted, by_name, "Name", out);
    heading(wanted, Sort::Size, "Size", out);
    heading(wanted, Sort::Date, "Modified<span class=\"utc\"> (UTC)</span>", out);
    out.push_str("</tr></thead>\n<tbody>\n");
    if !path.is_empty() {
        out.push_str(
            "<tr><th scope=\"row\"><a class=\"u\" href=\"../\">Parent folder</a></th><td><td></tr>\n",
        );
    }
}

pub(super) fn row(listing: &Listing, entry: &Entry<'_>, out: &mut String) {
    let slash = if entry.kind == Kind::Folder { "/" } else { "" };
    let shown = Escaped(entry.name).to_string();
    let shown = encode_text(&shown);
    out.push_str("<tr data-n><th scope=\"row\">");
    match entry.kind {
        Kind::Folder | Kind::File | Kind::Unknown => {
            let class = if entry.kind == Kind::Folder { " class=\"d\"" } else { "" };
            let link = encode_segment(entry.name);
            let _ = write!(out, "<a{class} href=\"./{link}{slash}\"><bdi>{shown}{slash}</bdi>");
        }
        Kind::Special | Kind::Broken => {
            let _ = write!(out, "<span><bdi>{shown}</bdi>");
        }
    }
    match (entry.kind, entry.is_link) {
        (Kind::Broken, _) => out.push_str("<small>broken link</small>"),
        (Kind::Special, _) => out.push_str("<small>not a file</small>"),
        (_, true) => out.push_str("<small>link</small>"),
        (_, false) => {}
    }
    out.push_str(match entry.kind {
        Kind::Special | Kind::Broken => "</span></th><td>",
        _ => "</a></th><td>",
    });
    if let Some(size) = entry.size {
        let grouped = Grouped(size);
        let _ = if listing.wanted.exact {
            write!(out, "<data value=\"{size}\">{grouped}</data>")
        } else {
            let human = Size(size);
            write!(out, "<data value=\"{size}\" title=\"{grouped} bytes\">{human}</data>")
        };
    }
    out.push_str("</td><td>");
    if let Some(modified) = entry.modified {
        let time = rfc3339(modified);
        let (day, minute) = (day(&time), minute(&time));
        let _ = write!(out, "<time datetime=\"{time}\">{day}<span> {minute}</span></time>");
    }
    out.push_str("</td></tr>\n");
}

pub(super) fn end(listing: &Listing, out: &mut String) {
    let wanted = &listing.wanted;
    let [mut folders, mut others, mut bytes] = [0_u64; 3];
    for entry in listing.entries.iter() {
        if entry.kind == Kind::Folder {
            folders += 1
        } else {
            others += 1
        }
        bytes = bytes.saturating_add(entry.size.unwrap_or(0));
    }
    let (hidden, nothing) = match (folders + others, wanted.filter.is_empty()) {
        (0, true) => ("", "This folder is empty."),
        (0, false) => ("", "No name here matches."),
        _ => (" hidden", "No name here matches."),
    };
    let _ = write!(
        out,
        "<tr class=\"none\"{hidden}><td colspan=\"3\">{nothing}</td></tr>\n</tbody>\n</table>\n\
         <footer><span role=\"status\">{} {}, {} {}, {}</span><span>",
        Grouped(folders),
        if folders == 1 { "folder" } else { "folders" },
        Grouped(others),
        if others == 1 { "file" } else { "files" },
        Size(bytes),
    );
    let other_sizes = if wanted.exact { "Rounded sizes" } else { "Exact sizes" };
    button(&Wanted { exact: !wanted.exact, ..wanted.clone() }, other_sizes, out);
    out.push_str(" · ");
    button(&Wanted { form: Form::Json, ..wanted.clone() }, "JSON", out);
    out.push_str(" · ");
    button(&Wanted { form: Form::Text, ..wanted.clone() }, "Text", out);
    let _ = write!(out, "</span></footer>\n</main>\n<script>{SCRIPT}</script>\n");
    if !listing.addition.script.is_empty() {
        let _ = writeln!(out, "<script>{}</script>", listing.addition.script);
    }
    out.push_str("</html>\n");
}

/// The folders on the way, each a link; relative, so that a proxy may put them anywhere.
fn trail(path: &[u8], out: &mut String) {
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|s| !s.is_empty()).collect();
    out.push_str("<nav aria-label=\"Path\"><h1>");
    let all = std::iter::once(&b"Files"[..]).chain(segments.iter().copied());
    for (number, segment) in all.enumerate() {
        let shown = Escaped(segment).to_string();
        let shown = encode_text(&shown);
        let _ = match segments.len() - number {
            0 => write!(out, "<span aria-current=\"page\"><bdi>{shown}</bdi></span>"),
            up => {
                let up = "../".repeat(up);
                write!(out, "<a href=\"{up}\"><bdi>{shown}</bdi></a><i aria-hidden=\"true\">/</i>")
            }
        };
    }
    out.push_str("</h1></nav>\n");
}

/// The filter, and the folder as one file.
fn bar(listing: &Listing, out: &mut String) {
    let wanted = &listing.wanted;
    let filter = html_escape::encode_double_quoted_attribute(&wanted.filter);
    let _ = write!(
        out,
        "<div class=\"bar\"><form><label><span class=\"away\">Filter by name</span>\
         <input type=\"search\" name=\"filter\" placeholder=\"Filter\" autocomplete=\"off\" \
         value=\"{filter}\"></label>"
    );
    hidden(wanted, out);
    out.push_str("</form>");
    if listing.archives {
        out.push_str("<span class=\"get\">Download all:");
        for (name, _) in ARCHIVES.0 {
            let _ = write!(
                out,
                " <form><button name=\"archive\" value=\"{name}\">{name}</button></form>"
            );
        }
        out.push_str("</span>");
    }
    out.push_str("</div>\n");
}

/// A column's heading: a link that sorts by it, or the other way round.
fn heading(wanted: &Wanted, sort: Sort, label: &str, out: &mut String) {
    let is_current = wanted.sort == sort;
    // The largest and the newest first: that is what one looks for.
    let first_down = matches!(sort, Sort::Size | Sort::Date);
    let descending = if is_current { !wanted.descending } else { first_down };
    let (said, arrow) = match (is_current, wanted.descending) {
        (false, _) => ("", ""),
        (true, false) => (" aria-sort=\"ascending\"", "<i aria-hidden=\"true\">↑</i>"),
        (true, true) => (" aria-sort=\"descending\"", "<i aria-hidden=\"true\">↓</i>"),
    };
    let _ = write!(out, "<th scope=\"col\"{said}>");
    let sorted = Wanted { sort, descending, ..wanted.clone() };
    button(&sorted, &format!("{label}{arrow}"), out);
    out.push_str("</th>\n");
}

/// Asks for the same folder otherwise. A form and not a link: whoever mirrors a folder (wget -r), or
/// indexes it, would follow each of these in each folder.
fn button(wanted: &Wanted, label: &str, out: &mut String) {
    out.push_str("<form>");
    if !wanted.filter.is_empty() {
        let filter = html_escape::encode_double_quoted_attribute(&wanted.filter);
        let _ = write!(out, "<input type=\"hidden\" name=\"filter\" value=\"{filter}\">");
    }
    hidden(wanted, out);
    let _ = write!(out, "<button>{label}</button></form>");
}

/// What is asked for but for the filter, as fields of a form.
fn hidden(wanted: &Wanted, out: &mut String) {
    for (key, value) in wanted.fields() {
        let _ = write!(out, "<input type=\"hidden\" name=\"{key}\" value=\"{value}\">");
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_lets_in_the_style_and_the_script_that_are_there() {
        for (source, hash) in [(STYLE, STYLE_HASH), (SCRIPT, SCRIPT_HASH)] {
            let digest = Sha256::digest(source.as_bytes());
            let computed = base64::prelude::BASE64_STANDARD.encode(digest);
            assert_eq!(hash, format!("sha256-{computed}"), "write this one down");
        }
    }
}
