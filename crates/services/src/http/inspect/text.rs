//! A request as plain text, for a terminal: nothing a peer sent is obeyed by it.

use std::fmt::Write as _;

use sockeye_wire::escape::Escaped;
use sockeye_wire::hex::Dump;

use super::arrived::{Arrived, Place, Shown};
use super::decoded::Pair;
use super::demand;

/// Bytes of a dump: longer content that is no text is told by its length and digest.
const DUMPED: usize = 4 * 1024;

/// Where a part lies is said in this column.
const PLACES: usize = 60;

/// The request, explained; `front` appends what else may be asked for.
pub(super) fn write(arrived: &Arrived, front: bool) -> String {
    let mut out = String::with_capacity(4096);
    let facts = &arrived.connection;
    row(&mut out, "Connection", None);
    field(&mut out, "client", &facts.client, "");
    field(&mut out, "server", &facts.server, "");
    let order = format!(
        "{} on this connection, from its byte {} on, {} bytes long",
        facts.request, facts.start, facts.bytes
    );
    field(&mut out, "request", &order, "");

    let line = &arrived.request_line;
    row(&mut out, "Request line", Some(line.bytes));
    let (form, form_section) = line.form_is();
    field(&mut out, "method", &shown(&line.method), &said(line.is, line.section));
    field(&mut out, "target", &shown(&line.target), &said(form, form_section));
    field(&mut out, "version", &shown(&line.version), "RFC 9112 §2.3");
    pairs(&mut out, "Query", &arrived.query);

    let (first, last) = (line.bytes.1, arrived.blank_line.bytes.0);
    row(&mut out, "Header lines", Some((first, last)));
    for line in &arrived.headers {
        let _ = writeln!(out, "  {}: {}", Escaped(&line.name.0), Escaped(&line.value.0));
        let about =
            said(if line.is.is_empty() { "not in our table" } else { line.is }, line.section);
        let _ = writeln!(out, "      {}..{}  {about}", line.bytes.0, line.bytes.1);
    }
    row(&mut out, "Blank line", Some(arrived.blank_line.bytes));
    let _ = writeln!(out, "  ends the head  RFC 9112 §2.1");
    pairs(&mut out, "Cookies", &arrived.cookies);
    body(&mut out, arrived);
    if arrived.left_off > 0 {
        let _ = writeln!(out, "\n({} more pairs are not listed)", arrived.left_off);
    }
    if front {
        row(&mut out, "On demand", None);
        for (path, does) in demand::PATHS {
            let _ = writeln!(out, "  {path:<34}  {does}");
        }
    }
    out
}

fn body(out: &mut String, arrived: &Arrived) {
    let body = &arrived.body;
    row(out, "Body", Some(body.bytes));
    let _ = writeln!(out, "  end       {}", said(body.end_is(), body.section));
    if body.framing == "none" {
        return;
    }
    field(out, "length", &format!("{} bytes of content", body.length), "");
    if let Some(digest) = &body.sha256 {
        field(out, "SHA-256", digest, "");
    }
    if let Some(encoding) = &body.encoding {
        field(out, "encoding", &shown(encoding), "not undone here  RFC 9110 §8.4");
    }
    if !body.chunks.is_empty() {
        row(out, "Chunks", None);
        for chunk in &body.chunks {
            let (first, last) = chunk.bytes;
            let extensions = Escaped(&chunk.extensions.0);
            let _ = writeln!(out, "  {first}..{last}  {} bytes {extensions}", chunk.size);
        }
    }
    pairs(out, "Trailers", &body.trailers);
    if body.length > 0 {
        row(out, "Content", None);
        if body.cut {
            let seen = body.content.0.len();
            let _ = writeln!(out, "  (no more than the first {seen} bytes)");
        }
        lines(out, &body.content);
    }
    if let Some(fault) = &arrived.fault {
        let _ = writeln!(out, "\nThe content can't be decoded\n  {}", Escaped(fault.as_bytes()));
    }
    pairs(out, "Form", arrived.form.as_deref().unwrap_or_default());
    for part in arrived.parts.as_deref().unwrap_or_default() {
        let title = match &part.filename {
            None => format!("Field {}", shown(&part.name)),
            Some(file) => format!("File {} of field {}", shown(file), shown(&part.name)),
        };
        row(out, &format!("{title}, {} bytes", part.length), None);
        lines(out, &part.content);
    }
    if let Some(pretty) = &arrived.pretty {
        row(out, "JSON", None);
        lines(out, &Shown(pretty.clone().into_bytes()));
    }
}

fn row(out: &mut String, title: &str, place: Option<Place>) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = match place {
        None => writeln!(out, "{title}"),
        Some((first, last)) => {
            writeln!(out, "{title:<width$}bytes {first}..{last}", width = PLACES)
        }
    };
}

fn field(out: &mut String, name: &str, value: &str, about: &str) {
    let _ = match about {
        "" => writeln!(out, "  {name:<8}  {value}"),
        _ => writeln!(out, "  {name:<8}  {value}  {about}"),
    };
}

fn pairs(out: &mut String, title: &str, pairs: &[Pair]) {
    if pairs.is_empty() {
        return;
    }
    row(out, title, None);
    for pair in pairs {
        let _ = writeln!(out, "  {} = {}", Escaped(&pair.name.0), Escaped(&pair.value.0));
    }
}

/// Text line by line, anything else as a dump.
fn lines(out: &mut String, content: &Shown) {
    if !is_text(&content.0) {
        let mut dump = String::new();
        let mut rows = Dump::new(0);
        rows.push(content.0.get(..DUMPED).unwrap_or(&content.0), &mut dump);
        rows.finish(&mut dump);
        for line in dump.lines() {
            let _ = writeln!(out, "  {line}");
        }
        return;
    }
    for line in content.0.trim_ascii_end().split(|byte| *byte == b'\n') {
        let _ = writeln!(out, "  {}", Escaped(line.strip_suffix(b"\r").unwrap_or(line)));
    }
}

/// Whether most people would call it text: UTF-8, at its cut end perhaps not whole, without controls.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let whole = match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && bytes.len() > 3,
    };
    let control = |byte: &u8| *byte < b' ' && !b"\t\n\r\x1b".contains(byte);
    whole && !bytes.iter().any(control)
}

/// What it is and where that stands.
fn said(is: &str, section: &str) -> String {
    match section {
        "" => is.to_owned(),
        _ => format!("{is}  {section}"),
    }
}

fn shown(bytes: &Shown) -> String {
    Escaped(&bytes.0).to_string()
}
