//! A request as a page: no script, and nothing a peer sent is ever markup.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use html_escape::encode_text;
use sha2::{Digest as _, Sha256};
use sockeye_wire::escape::Escaped;
use sockeye_wire::hex::Dump;

use super::arrived::{Arrived, Place, Shown};
use super::decoded::Pair;
use super::demand;
use super::text::is_text;

const STYLE: &str = include_str!("page.css");

/// Bytes of a dump.
const DUMPED: usize = 4 * 1024;

/// Nothing but the page's own style, which is told by its digest.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// The request, explained; `front` appends what else may be asked for.
pub(super) fn write(arrived: &Arrived, front: bool) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let line = &arrived.request_line;
    let (method, target) = (safe(&line.method), safe(&line.target));
    let facts = &arrived.connection;
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{method} {target}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1><b>{method}</b> {target}</h1>\n\
         <p class=\"soft\">This is what arrived from {}, taken apart. It was request {} on its \
         connection to {}: {} bytes, from byte {} on.</p>\n",
        text(&facts.client),
        facts.request,
        text(&facts.server),
        facts.bytes,
        facts.start
    );
    raw(&mut out, arrived);

    open(&mut out, "Request line", Some(line.bytes));
    out.push_str("<dl>\n");
    let (form, form_section) = line.form_is();
    row(&mut out, "method", &line.method, line.is, line.section);
    row(&mut out, "target", &line.target, form, form_section);
    row(&mut out, "version", &line.version, "", "RFC 9112 §2.3");
    out.push_str("</dl>\n</section>\n");
    pairs(&mut out, "Query", &arrived.query);

    open(&mut out, "Header lines", Some((line.bytes.1, arrived.blank_line.bytes.0)));
    out.push_str("<dl>\n");
    for line in &arrived.headers {
        let (first, last) = line.bytes;
        let about = if line.is.is_empty() { "not in our table" } else { line.is };
        let _ = writeln!(
            out,
            "<dt><code>{}</code></dt><dd><code>{}</code><small>{} · bytes {first}..{last}</small></dd>",
            safe(&line.name),
            safe(&line.value),
            said(about, line.section)
        );
    }
    out.push_str("</dl>\n</section>\n");
    pairs(&mut out, "Cookies", &arrived.cookies);
    body(&mut out, arrived);
    if arrived.left_off > 0 {
        let _ =
            writeln!(out, "<p class=\"soft\">{} more pairs are not listed.</p>", arrived.left_off);
    }
    if front {
        open(&mut out, "On demand", None);
        out.push_str("<dl>\n");
        for (path, does) in demand::PATHS {
            let _ = writeln!(out, "<dt><code>{}</code></dt><dd>{}</dd>", text(path), text(does));
        }
        out.push_str("</dl>\n</section>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// The head as it came, its parts told apart by colour and its line ends visible.
fn raw(out: &mut String, arrived: &Arrived) {
    const END: &str = "<i>\\r\\n</i>\n";
    open(out, "The head as it came", Some((0, arrived.blank_line.bytes.1)));
    let line = &arrived.request_line;
    out.push_str("<div class=\"raw\">");
    if line.bytes.0 > 0 {
        out.push_str(END);
    }
    let _ = write!(
        out,
        "<span class=\"m\">{}</span> {} {}{END}",
        safe(&line.method),
        safe(&line.target),
        safe(&line.version)
    );
    for line in &arrived.headers {
        let _ = write!(
            out,
            "<span class=\"n\">{}</span>:{}{}{}{END}",
            safe(&line.name),
            text(&Escaped(&line.blanks.0).to_string()),
            safe(&line.value),
            text(&Escaped(&line.blanks.1).to_string())
        );
    }
    let _ = write!(out, "{END}</div>\n</section>\n");
}

fn body(out: &mut String, arrived: &Arrived) {
    let body = &arrived.body;
    open(out, "Body", Some(body.bytes));
    let _ = write!(out, "<dl>\n<dt>end</dt><dd>{}</dd>\n", said(body.end_is(), body.section));
    if body.framing == "none" {
        out.push_str("</dl>\n</section>\n");
        return;
    }
    let _ = writeln!(out, "<dt>length</dt><dd>{} bytes of content</dd>", body.length);
    if let Some(digest) = &body.sha256 {
        let _ = writeln!(out, "<dt>SHA-256</dt><dd><code>{}</code></dd>", text(digest));
    }
    if let Some(encoding) = &body.encoding {
        row(out, "encoding", encoding, "not undone here", "RFC 9110 §8.4");
    }
    for chunk in &body.chunks {
        let (first, last) = chunk.bytes;
        let _ = writeln!(
            out,
            "<dt>chunk</dt><dd>{} bytes <code>{}</code><small>bytes {first}..{last}</small></dd>",
            chunk.size,
            safe(&chunk.extensions)
        );
    }
    out.push_str("</dl>\n</section>\n");
    pairs(out, "Trailers", &body.trailers);
    if body.length > 0 {
        open(out, "Content", None);
        if body.cut {
            let seen = body.content.0.len();
            let _ = writeln!(out, "<p class=\"soft\">No more than the first {seen} bytes.</p>");
        }
        lines(out, &body.content);
        out.push_str("</section>\n");
    }
    if let Some(fault) = &arrived.fault {
        open(out, "The content can't be decoded", None);
        let _ = writeln!(out, "<p class=\"w\">{}</p>\n</section>", text(fault));
    }
    pairs(out, "Form", arrived.form.as_deref().unwrap_or_default());
    for part in arrived.parts.as_deref().unwrap_or_default() {
        let title = match &part.filename {
            None => format!("Field {}", safe(&part.name)),
            Some(file) => format!("File {} of field {}", safe(file), safe(&part.name)),
        };
        let _ = writeln!(out, "<section>\n<h2>{title} <small>{} bytes</small></h2>", part.length);
        lines(out, &part.content);
        out.push_str("</section>\n");
    }
    if let Some(pretty) = &arrived.pretty {
        open(out, "JSON", None);
        lines(out, &Shown(pretty.clone().into_bytes()));
        out.push_str("</section>\n");
    }
}

fn open(out: &mut String, title: &str, place: Option<Place>) {
    let _ = match place {
        None => writeln!(out, "<section>\n<h2>{title}</h2>"),
        Some((first, last)) => {
            writeln!(out, "<section>\n<h2>{title} <small>bytes {first}..{last}</small></h2>")
        }
    };
}

fn row(out: &mut String, name: &str, value: &Shown, is: &str, section: &str) {
    let _ = writeln!(
        out,
        "<dt>{name}</dt><dd><code>{}</code><small>{}</small></dd>",
        safe(value),
        said(is, section)
    );
}

fn pairs(out: &mut String, title: &str, pairs: &[Pair]) {
    if pairs.is_empty() {
        return;
    }
    open(out, title, None);
    out.push_str("<dl>\n");
    for pair in pairs {
        let (name, value) = (safe(&pair.name), safe(&pair.value));
        let _ = writeln!(out, "<dt><code>{name}</code></dt><dd><code>{value}</code></dd>");
    }
    out.push_str("</dl>\n</section>\n");
}

fn lines(out: &mut String, content: &Shown) {
    let mut shown = String::new();
    if is_text(&content.0) {
        for line in content.0.trim_ascii_end().split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let _ = writeln!(shown, "{}", Escaped(line));
        }
    } else {
        let mut rows = Dump::new(0);
        rows.push(content.0.get(..DUMPED).unwrap_or(&content.0), &mut shown);
        rows.finish(&mut shown);
    }
    let _ = writeln!(out, "<pre>{}</pre>", text(&shown));
}

fn said(is: &str, section: &str) -> String {
    match (is, section) {
        (is, "") => text(is),
        ("", section) => text(section),
        (is, section) => format!("{} · {}", text(is), text(section)),
    }
}

/// Bytes of a peer as text between tags.
fn safe(bytes: &Shown) -> String {
    text(&Escaped(&bytes.0).to_string())
}

fn text(text: &str) -> String {
    encode_text(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use sockeye_http::Framing;

    use super::super::arrived::{Facts, Received};
    use super::super::{json, text as plain};
    use super::*;

    fn arrived(head: &[u8], kind: &[u8], content: &[u8], raw: &[u8]) -> Arrived {
        let mut whole = head.to_vec();
        whole.extend_from_slice(b"\r\nContent-Type: ");
        whole.extend_from_slice(kind);
        whole.extend_from_slice(b"\r\n\r\n");
        let facts =
            Facts { client: "c".into(), server: "s".into(), request: 1, start: 0, bytes: 1 };
        let received = Received {
            content: content.to_vec(),
            length: content.len() as u64,
            raw: raw.to_vec(),
            raw_length: raw.len() as u64,
            trailers: vec![("T".to_owned(), content.to_vec())],
            ..Received::default()
        };
        Arrived::new(&whole, Framing::Chunked, received, facts)
    }

    /// The same bytes with nothing in them that could be markup.
    fn tamed(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().map(|byte| if b"<>&\"'".contains(byte) { b'x' } else { *byte }).collect()
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        const HOSTILE: &[&[u8]] = &[
            b"<script>alert(1)</script>",
            b"</pre><b>",
            b"\x1b]0;x\x07\x1b[2J",
            b"\xc2\x9b31m",
            "\u{202e}\u{2028}".as_bytes(),
            b"--x\r\nContent-Disposition: form-data; name=\"<i>\"; filename=\"\x1b<u>\"\r\n\r\n<p>",
            b"&lt;=<a>&",
            b"{\"<a>\":[\"\\u001b<b>\"]}",
            b"\r\n",
            b"5;\"<\x1b>\"\r\n12345\r\n",
        ];
        let hostile = prop::sample::select(HOSTILE);
        vec(prop_oneof![hostile.prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..20)], 0..6)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_neither_markup_nor_obeyed(
            head in bytes(),
            kind in prop::sample::select(&[
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json",
                "text/html",
            ][..]),
            content in bytes(),
            raw in bytes(),
        ) {
            let whole = arrived(&head, kind.as_bytes(), &content, &raw);
            let page = write(&whole, true);
            for shown in [&page, &plain::write(&whole, true), &json::write(&whole)] {
                let obeyed =
                    shown.chars().find(|c| *c != '\n' && sockeye_wire::escape::is_obeyed(*c));
                prop_assert_eq!(obeyed, None);
            }
            serde_json::from_str::<serde_json::Value>(&json::write(&whole)).expect("it is JSON");
            // Whatever is in the text, each tag is one of ours: they open and close as they should.
            let mut open = Vec::new();
            for tag in page.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').expect("a tag ends");
                let name = tag.split(' ').next().unwrap_or_default();
                match name.strip_prefix('/') {
                    Some(name) => prop_assert_eq!(open.pop(), Some(name)),
                    None if ["!DOCTYPE", "meta"].contains(&name) => {}
                    None => {
                        let ours = [
                            "html", "head", "title", "style", "body", "h1", "b", "p", "section",
                            "h2", "small", "div", "span", "i", "dl", "dt", "dd", "code", "pre",
                        ];
                        prop_assert!(ours.contains(&name), "{}", tag);
                        open.push(name);
                    }
                }
            }
            prop_assert!(open.is_empty());
        }

        #[test]
        fn brackets_of_a_peer_make_no_tags(value in bytes()) {
            let count = |value: &[u8]| {
                let value: Vec<u8> = value.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
                let head = [b"GET / HTTP/1.1\r\nX: ", &value[..]].concat();
                write(&arrived(&head, b"text/plain", &value, b""), false).matches('<').count()
            };
            prop_assert_eq!(count(&value), count(&tamed(&value)));
        }
    }
}
