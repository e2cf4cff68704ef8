//! What was found, under the verdict: what, where, why, and what helps.

use std::iter;

use super::paper::{prose, wrap};
use super::style::{Ink, NARROW, Style};
use crate::finding::{Finding, Kind};
use crate::record::Certainty;
use crate::words::note::Note;

/// So many are drawn, the first ones; the others are counted.
const DRAWN: usize = 6;

/// Draws findings, nothing if there are none: what is amiss, then what is only to be known.
pub(super) fn draw(findings: &[Finding], style: &Style) -> String {
    let mut out = String::new();
    if findings.is_empty() {
        return out;
    }
    out.push('\n');
    let (glyphs, lang) = (style.glyphs(), style.words());
    let mut ordered: Vec<&Finding> = findings.iter().collect();
    ordered.sort_by_key(|finding| finding.kind.is_note());
    let (drawn, left) = ordered.split_at(ordered.len().min(DRAWN));
    let mark = |notes: bool| if notes { (glyphs.dot, Ink::Dim) } else { ("!", Ink::Warning) };
    for finding in drawn {
        let told = lang.finding(finding);
        let sure = if finding.certainty == Certainty::Inferred { "~" } else { "" };
        let (id, place) = (finding.kind.id(), place(finding));
        let (sign, ink) = mark(finding.kind.is_note());
        let head = format!("{sign} {id}  {sure}{place}{} · {}", told.what, finding.reference);
        put(&mut out, wrap, &head, 2, ink, style);
        put(&mut out, prose, &told.cause, deep(style), Ink::Plain, style);
        let cure = format!("{} {}", glyphs.arrow, told.cure);
        put(&mut out, prose, &cure, deep(style), Ink::Dim, style);
    }
    if !left.is_empty() {
        let (sign, ink) = mark(left.iter().all(|finding| finding.kind.is_note()));
        let text = format!("{sign} {}", lang.words().more_findings(left.len() as u64));
        put(&mut out, wrap, &text, 2, ink, style);
    }
    if drawn.iter().any(|finding| finding.certainty == Certainty::Inferred) {
        put(&mut out, prose, &style.note(Note::OnlySuggested), deep(style), Ink::Dim, style);
    }
    out
}

/// Which bytes it is about, where it is about bytes.
fn place(finding: &Finding) -> String {
    let range = &finding.range;
    match finding.kind {
        Kind::SynRetried | Kind::BacklogOverflow | Kind::Refused | Kind::TimeWait => String::new(),
        Kind::DatagramTruncated | Kind::DatagramDropped | Kind::DatagramRefused => {
            match range.is_empty() {
                true => String::new(),
                false => format!("#{} ", range.start),
            }
        }
        _ if range.is_empty() => format!("@{} ", range.start),
        _ => format!("[{}..{}) ", range.start, range.end),
    }
}

/// Writes a text on as many lines as it takes, those after the first one deeper.
fn put(
    out: &mut String,
    broken: fn(&str, usize, usize) -> Vec<String>,
    text: &str,
    indent: usize,
    ink: Ink,
    style: &Style,
) {
    let glyphs = style.glyphs();
    let mut text = text.replace('·', glyphs.dot).replace('…', glyphs.ellipsis);
    if style.ascii {
        text = text.replace('§', "sec. ");
    }
    let room = |indent: usize| style.columns() - indent;
    let lines = broken(&text, room(indent), room(deep(style)));
    let indents = iter::once(indent).chain(iter::repeat(deep(style)));
    for (line, indent) in lines.iter().zip(indents) {
        out.push_str(&format!("{:indent$}{}\n", "", style.paint(ink, line)));
    }
}

fn deep(style: &Style) -> usize {
    if style.columns() < NARROW { 4 } else { 7 }
}
