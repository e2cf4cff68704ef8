//! Forms, cookies and JSON, decoded for looking at: what can't be read is said, never guessed.

use percent_encoding::percent_decode;
use serde::Serialize;
use sockeye_http::multipart::{self, Event, MultipartDecoder, MultipartLimits};

use super::arrived::Shown;

/// Of long lists so many members are listed.
pub(super) const MOST_LISTED: usize = 1000;

/// So many bytes of a part of a form are shown.
const PART_SHOWN: usize = 1024;

/// Bytes of indented JSON at most: indentation may be far longer than what it indents.
const PRETTY_MOST: usize = 256 * 1024;

/// A name and its value.
#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub(super) name: Shown,
    pub(super) value: Shown,
}

/// A part of a form with files.
#[derive(Debug, Serialize)]
pub(super) struct PartSeen {
    pub(super) name: Shown,
    /// As the client wrote it.
    pub(super) filename: Option<Shown>,
    /// Bytes of it that were seen.
    pub(super) length: u64,
    /// The first of them.
    pub(super) content: Shown,
}

/// What came of reading the content by its type.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) form: Option<Vec<Pair>>,
    pub(super) parts: Option<Vec<PartSeen>>,
    pub(super) json: Option<serde_json::Value>,
    /// The JSON as it came, with line breaks and indentation of ours.
    pub(super) pretty: Option<String>,
    /// Why it can't be read as what it is said to be.
    pub(super) fault: Option<String>,
    /// Members that are not listed.
    pub(super) left_off: usize,
}

/// Reads content that is whole, or its beginning.
pub(super) fn content(content_type: &[u8], content: &[u8], is_whole: bool) -> Decoded {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = String::from_utf8_lossy(kind).trim().to_ascii_lowercase();
    let mut decoded = Decoded::default();
    if kind == "application/x-www-form-urlencoded" {
        let (pairs, left_off) = urlencoded(content);
        decoded.form = Some(pairs);
        decoded.left_off = left_off;
    } else if multipart::is_form(content_type) {
        read_parts(&mut decoded, content_type, content, is_whole);
    } else if (kind == "application/json" || kind.ends_with("+json")) && is_whole {
        match serde_json::from_slice(content) {
            Ok(value) => {
                decoded.json = Some(value);
                decoded.pretty = str::from_utf8(content).ok().map(indented);
            }
            Err(error) if content.is_empty() => drop(error),
            Err(error) => decoded.fault = Some(format!("no valid JSON: {error}")),
        }
    }
    decoded
}

/// `a=1&b=2`, as queries and forms are written, and how many more pairs there are.
pub(super) fn urlencoded(text: &[u8]) -> (Vec<Pair>, usize) {
    let mut members = text.split(|byte| *byte == b'&').filter(|member| !member.is_empty());
    let pairs = members.by_ref().take(MOST_LISTED).map(|member| {
        let mut halves = member.splitn(2, |byte| *byte == b'=');
        let mut next = || undone(halves.next().unwrap_or_default());
        Pair { name: next(), value: next() }
    });
    let pairs = pairs.collect();
    (pairs, members.count())
}

fn undone(text: &[u8]) -> Shown {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Shown(percent_decode(&spaced).collect())
}

/// `a=1; b=2` (RFC 6265 §4.2.1), and how many more there are.
pub(super) fn cookies<'v>(values: impl Iterator<Item = &'v [u8]>) -> (Vec<Pair>, usize) {
    let members = values.flat_map(|value| value.split(|byte| *byte == b';'));
    let mut members = members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    let pairs = members.by_ref().take(MOST_LISTED).map(|member| {
        let mut halves = member.splitn(2, |byte| *byte == b'=');
        let mut next = || Shown(halves.next().unwrap_or_default().trim_ascii().to_vec());
        Pair { name: next(), value: next() }
    });
    let pairs = pairs.collect();
    (pairs, members.count())
}

fn read_parts(decoded: &mut Decoded, content_type: &[u8], content: &[u8], is_whole: bool) {
    let boundary = match multipart::boundary(content_type) {
        Ok(boundary) => boundary,
        Err(error) => {
            decoded.fault = Some(error.to_string());
            return;
        }
    };
    let mut decoder = MultipartDecoder::new(boundary, MultipartLimits::default());
    let mut parts: Vec<PartSeen> = Vec::new();
    let mut rest = content;
    while !decoder.is_done() {
        let step = match decoder.decode(rest) {
            Ok(step) => step,
            Err(error) => {
                decoded.fault = Some(error.to_string());
                break;
            }
        };
        rest = rest.get(step.consumed..).unwrap_or_default();
        match step.event {
            Some(Event::Part(part)) => parts.push(PartSeen {
                name: Shown(part.name),
                filename: part.filename.map(Shown),
                length: 0,
                content: Shown(Vec::new()),
            }),
            Some(Event::Content(bytes)) => {
                if let Some(part) = parts.last_mut() {
                    part.length += bytes.len() as u64;
                    let room = PART_SHOWN.saturating_sub(part.content.0.len()).min(bytes.len());
                    part.content.0.extend_from_slice(bytes.get(..room).unwrap_or_default());
                }
            }
            Some(Event::End) => {}
            None => {
                if is_whole && let Err(error) = decoder.finish() {
                    decoded.fault = Some(error.to_string());
                }
                break;
            }
        }
    }
    decoded.parts = Some(parts);
}

/// Valid JSON, one member a line: its tokens as they came, for numbers and order are the sender's.
fn indented(json: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut opened = false;
    for character in json.chars() {
        if out.len() > PRETTY_MOST {
            out.push_str("\n… (cut)");
            break;
        }
        if quoted {
            out.push(character);
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(character, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // Nothing stands between the brackets of an empty list.
        if opened != closes {
            line(&mut out, depth);
        }
        opened = matches!(character, '{' | '[');
        out.push(character);
        match character {
            '{' | '[' => depth += 1,
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            '"' => quoted = true,
            _ => {}
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_without_another_change() {
        let text = r#"{"b":[1.50,{}, [] ,"x\"{\\"],"a":18446744073709551616}"#;
        let expected = "{\n  \"b\": [\n    1.50,\n    {},\n    [],\n    \"x\\\"{\\\\\"\n  ],\n  \
                        \"a\": 18446744073709551616\n}";
        assert_eq!(indented(text), expected);
        assert_eq!(indented(" [ ] "), "[]");
        assert_eq!(indented("7"), "7");
    }

    #[test]
    fn forms_and_cookies_are_read_pair_by_pair() {
        let (pairs, more) = urlencoded(b"a=1+2&&b=%c3%a9%zz&c");
        let shown: Vec<_> = pairs.iter().map(|pair| (&*pair.name.0, &*pair.value.0)).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", b"1 2"), (b"b", "é%zz".as_bytes()), (b"c", b"")];
        assert_eq!((&shown[..], more), (&expected[..], 0));
        let (pairs, more) = cookies([&b"a=1; b=x=y ;; c"[..]].into_iter());
        let shown: Vec<_> = pairs.iter().map(|pair| (&*pair.name.0, &*pair.value.0)).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"x=y"), (b"c", b"")];
        assert_eq!((&shown[..], more), (&expected[..], 0));
        assert_eq!(urlencoded("a&".repeat(1500).as_bytes()).1, 500);
    }

    #[test]
    fn indentation_is_bounded() {
        let deep = format!("{}{}{}", "[".repeat(100), "1,".repeat(30_000), "1".to_owned());
        assert!(indented(&deep).len() < PRETTY_MOST + 300);
    }
}
