//! `docs/conformance.md`: how this server and others do, case by case.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::case::Case;
use super::peers::{self, Peer};
use super::run::{Known, Outcome};
use super::{FILES, all_outcomes, cases};

/// Others are given up on after this time.
const OTHERS: Duration = Duration::from_secs(3);

/// How a server did in a group of cases: in those that must, in those that should.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    of: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Count { passed, of } = *self;
        if passed == of { write!(f, "{passed}") } else { write!(f, "{passed} of {of}") }
    }
}

/// One line of the table up to the column of this server.
fn row(about: &str, must: bool, cases: &[Case], outcomes: &[Outcome]) -> Option<(String, Count)> {
    let mut count = Count::default();
    for (case, outcome) in cases.iter().zip(outcomes).filter(|(case, _)| case.must == must) {
        assert!(!case.sentence.is_empty(), "{} says nothing", case.name);
        count.passed += usize::from(*outcome == Outcome::Passed);
        count.of += usize::from(*outcome != Outcome::NotApplicable);
    }
    let cases = cases.iter().filter(|case| case.must == must).count();
    let level = if must { "MUST" } else { "SHOULD" };
    (cases > 0).then(|| (format!("| {about} | {level} | {cases} "), count))
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md")
}

/// Lines that the table must have, whatever other servers do.
pub(super) fn own_lines(outcomes: &[Vec<Outcome>]) -> Vec<String> {
    let mut lines = Vec::new();
    for ((file, about), outcomes) in FILES.iter().zip(outcomes) {
        let cases = cases(file);
        for must in [true, false] {
            if let Some((start, count)) = row(about, must, &cases, outcomes) {
                lines.push(format!("{start}| {count} |"));
            }
        }
    }
    lines
}

pub(super) fn read() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// Runs the suite against all servers and writes the table.
pub(super) fn write(own: &[Vec<Outcome>]) {
    let folder = peers::folder();
    let behind = peers::sockeye(folder.path(), "epoll-edge");
    let others = [
        Peer::nginx(folder.path()),
        Peer::lighttpd(folder.path()),
        Peer::haproxy(behind.address, "20s"),
        Peer::python(folder.path()),
    ];
    Known::settled(behind.address);
    let results: Vec<Vec<Vec<Outcome>>> = others.iter().map(|peer| suite(peer.address)).collect();
    std::fs::write(path(), text(own, &others, &results)).unwrap();
}

fn suite(address: SocketAddr) -> Vec<Vec<Outcome>> {
    let known = Known::of(address, OTHERS);
    FILES.iter().map(|(file, _)| all_outcomes(&cases(file), address, &known, OTHERS)).collect()
}

fn text(own: &[Vec<Outcome>], others: &[Peer], results: &[Vec<Vec<Outcome>>]) -> String {
    let total: usize = FILES.iter().map(|(file, _)| cases(file).len()).sum();
    let names: Vec<&str> = others.iter().map(|peer| peer.name.as_str()).collect();
    let mut out = format!(
        "# Conformance\n\n\
         {total} cases of what a server must and should do by RFC 9110 and RFC 9112: raw bytes on a\n\
         connection, what may come back, and what becomes of the connection. They are data,\n\
         [`crates/sockeye/tests/conformance/cases`](../crates/sockeye/tests/conformance/cases), each with its section.\n\
         `cargo test` runs them against `sockeye serve`; none may fail. The same run against others,\n\
         set up to hand out a folder with listings and little else; HAProxy stands in front\n\
         of `sockeye serve`, so its column is of both; Python's is `python3 -m http.server --protocol HTTP/1.1`.\n\
         Written by\n\n\
         ```\nSOCKEYE_WRITE_TABLE=1 cargo test -p sockeye --test conformance the_table\n```\n\n\
         A number alone: all passed. A case that is about something a server does not have, such as\n\
         entity tags, is not counted for it. An answer that takes more than {} s has failed.\n\n\
         | | level | cases | Sockeye | {} |\n|---|---|--:|--:|{}\n",
        OTHERS.as_secs(),
        names.join(" | "),
        "--:|".repeat(others.len()),
    );
    for (group, (file, about)) in FILES.iter().enumerate() {
        let cases = cases(file);
        for must in [true, false] {
            let Some((start, count)) = row(about, must, &cases, &own[group]) else { continue };
            let _ = write!(out, "{start}| {count} |");
            for result in results {
                let (_, count) = row(about, must, &cases, &result[group]).unwrap();
                let _ = write!(out, " {count} |");
            }
            out.push('\n');
        }
    }
    let _ = write!(
        out,
        "\n## What others do otherwise\n\n`✗`: it failed; `–`: not about this server.\n\n\
         | section | level | what is held | Sockeye | {} |\n|---|---|---|:-:|{}\n",
        names.join(" | "),
        ":-:|".repeat(others.len()),
    );
    for (group, (file, _)) in FILES.iter().enumerate() {
        for (at, case) in cases(file).iter().enumerate() {
            let all: Vec<&Outcome> = std::iter::once(&own[group][at])
                .chain(results.iter().map(|result| &result[group][at]))
                .collect();
            if !all.iter().any(|outcome| matches!(outcome, Outcome::Failed(_))) {
                continue;
            }
            let level = if case.must { "MUST" } else { "SHOULD" };
            let _ = write!(
                out,
                "| {} | {level} | `{}`: {} |",
                case.section,
                case.name,
                escaped(&case.sentence),
            );
            for outcome in all {
                let mark = match outcome {
                    Outcome::Passed => "",
                    Outcome::NotApplicable => "–",
                    Outcome::Failed(_) => "✗",
                };
                let _ = write!(out, " {mark} |");
            }
            out.push('\n');
        }
    }
    out
}

/// Text as it is meant, in Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "*_<>|`\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
