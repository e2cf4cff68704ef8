//! What a message looks like: text made safe, a dump, or a line of JSON. Functions of bytes.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::Frame;
use sockeye_wire::hex::Dump;

use super::flow::{Direction, Flow};
use crate::args;

/// How messages are to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) form: Form,
    /// Each message is a line or more of its own, because it has borders, a time or a name.
    pub(super) lines: bool,
    pub(super) timestamps: bool,
    /// Each message says whose it is.
    pub(super) names: bool,
}

/// What becomes of the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Bytes,
    /// Decoded, and otherwise as it is.
    Text,
    /// Decoded, and without anything a terminal would obey.
    Escaped,
    /// A hexadecimal dump.
    Hex,
    /// One object of JSON a message.
    Json,
}

impl Style {
    pub(super) fn new(args: &args::Talk, terminal: bool) -> Style {
        let form = match args {
            args::Talk { json: true, .. } => Form::Json,
            args::Talk { hex: true, .. } => Form::Hex,
            _ if terminal && !args.raw_output => Form::Escaped,
            args::Talk { encoding: Some(_), .. } => Form::Text,
            _ => Form::Bytes,
        };
        let raw = matches!(args.frame, sockeye_wire::frame::Framing::Raw);
        Style { form, lines: !raw || args.timestamps, timestamps: args.timestamps, names: false }
    }

    /// Whether bytes are shown as nothing but themselves, one after another.
    pub(super) fn plain(self) -> bool {
        self.form == Form::Bytes && !self.lines && !self.timestamps && !self.names
    }

    /// Appends a message.
    pub(super) fn show(self, flow: &mut Flow, frame: &Frame, now: SystemTime, out: &mut Vec<u8>) {
        if self.form == Form::Json {
            return json(flow, frame, now, out);
        }
        let mut head = String::new();
        if self.timestamps {
            let _ = write!(head, "{} ", humantime::format_rfc3339_micros(now));
        }
        if self.names {
            let _ = write!(head, "{} ", flow.peer);
        }
        match self.form {
            Form::Hex => hex(&head, frame, out),
            Form::Bytes => {
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(&frame.payload);
                self.end_line(out);
            }
            Form::Text | Form::Escaped | Form::Json => {
                let mut text = String::new();
                flow.text.decode(&frame.payload, &mut text);
                if self.lines || self.names {
                    // A character does not go on in another message.
                    flow.text.finish(&mut text);
                }
                self.text(&head, &text, out);
            }
        }
    }

    /// At the end of a flow: what was kept of a character that never came whole.
    pub(super) fn end(self, flow: &mut Flow, out: &mut Vec<u8>) {
        let mut text = String::new();
        flow.text.finish(&mut text);
        if matches!(self.form, Form::Text | Form::Escaped) && !text.is_empty() {
            self.text("", &text, out);
        }
    }

    fn text(self, head: &str, text: &str, out: &mut Vec<u8>) {
        if self.form == Form::Text {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(text.as_bytes());
            return self.end_line(out);
        }
        out.extend_from_slice(head.as_bytes());
        harmless(text, out);
        self.end_line(out);
    }

    fn end_line(self, out: &mut Vec<u8>) {
        if (self.lines || self.names) && out.last() != Some(&b'\n') {
            out.push(b'\n');
        }
    }
}

/// Text for a terminal: lines stay lines and tabs stay tabs, all else that would be obeyed is
/// written out.
pub(super) fn harmless(text: &str, out: &mut Vec<u8>) {
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            // CR LF is how most protocols end a line; shown, it says nothing.
            Some(line) => (line.strip_suffix('\r').unwrap_or(line), "\n"),
            None => (line, ""),
        };
        let mut columns = line.split('\t');
        let mut shown = String::new();
        if let Some(first) = columns.next() {
            let _ = write!(shown, "{}", Escaped(first.as_bytes()));
        }
        for column in columns {
            let _ = write!(shown, "\t{}", Escaped(column.as_bytes()));
        }
        out.extend_from_slice(shown.as_bytes());
        out.extend_from_slice(end.as_bytes());
    }
}

fn hex(head: &str, frame: &Frame, out: &mut Vec<u8>) {
    let mut text = String::new();
    if !head.is_empty() {
        let _ = writeln!(text, "{head}{} B", frame.payload.len());
    }
    let mut dump = Dump::new(frame.payload_range.start);
    dump.push(&frame.payload, &mut text);
    dump.finish(&mut text);
    out.extend_from_slice(text.as_bytes());
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    peer: &'a str,
    direction: &'static str,
    /// Where the message lies in the stream, its borders included.
    offset: u64,
    /// Bytes of the message, its borders left out.
    length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// The stream ended where a border was due.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unterminated: bool,
}

fn json(flow: &mut Flow, frame: &Frame, now: SystemTime, out: &mut Vec<u8>) {
    let before = flow.text.malformed();
    let mut decoded = String::new();
    flow.text.decode(&frame.payload, &mut decoded);
    flow.text.finish(&mut decoded);
    let is_text = flow.text.malformed() == before;
    let line = Line {
        time: humantime::format_rfc3339_micros(now).to_string(),
        peer: &flow.peer,
        direction: match flow.direction {
            Direction::In => "in",
            Direction::Out => "out",
        },
        offset: frame.range.start,
        length: frame.payload.len(),
        text: is_text.then_some(&*decoded),
        base64: (!is_text).then(|| STANDARD.encode(&frame.payload)),
        unterminated: frame.unterminated,
    };
    serde_json::to_writer(&mut *out, &line).expect("strings and numbers are always JSON");
    out.push(b'\n');
}
