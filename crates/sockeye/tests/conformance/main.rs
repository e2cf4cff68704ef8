//! What RFC 9110 and RFC 9112 ask of a server, as raw bytes over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
#[path = "../it/kit/mod.rs"]
mod kit;

mod case;
mod peers;
mod reader;
mod run;
mod smuggling;
mod table;
mod tap;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::kit::{PATIENCE, need};
use case::Case;
use run::{Known, Outcome};

/// The files of cases, and what each is about.
const FILES: [(&str, &str); 7] = [
    ("1-message.txt", "parsing, version"),
    ("2-request-line.txt", "method and target"),
    ("3-fields.txt", "fields, Host"),
    ("4-framing.txt", "length of a message"),
    ("5-chunked.txt", "chunked coding"),
    ("6-connection.txt", "connections, Expect, Upgrade"),
    ("7-semantics.txt", "methods, conditions, ranges, statuses"),
];

fn cases(file: &str) -> Vec<Case> {
    case::read(file)
}

/// All cases, several at a time.
fn all_outcomes(
    cases: &[Case],
    address: SocketAddr,
    known: &Known,
    patience: Duration,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![Outcome::NotApplicable; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run::run(case, address, known, patience);
                    let at = cases.iter().position(|one| std::ptr::eq(one, case)).unwrap();
                    outcomes.lock().unwrap()[at] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// What failed, to be read.
fn failures(cases: &[Case], outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        match outcome {
            Outcome::Passed => {}
            Outcome::NotApplicable => text += &format!("{}: not applicable\n", case.name),
            Outcome::Failed(why) => {
                text += &format!("{} ({}): {}: {why}\n", case.name, case.section, case.sentence);
            }
        }
    }
    text
}

#[test]
fn no_case_fails() {
    let folder = peers::folder();
    let server = peers::sockeye(folder.path(), "epoll-edge");
    let known = Known::settled(server.address);
    let mut outcomes = Vec::new();
    let mut failed = String::new();
    for (file, _) in FILES {
        let cases = cases(file);
        let of_file = all_outcomes(&cases, server.address, &known, PATIENCE);
        failed += &failures(&cases, &of_file);
        outcomes.push(of_file);
    }
    assert_eq!(failed, "");
    let table = table::read();
    for line in table::own_lines(&outcomes) {
        let there = table.lines().any(|found| found.starts_with(&line));
        assert!(there, "docs/conformance.md is not up to date (it says how to write it): {line}");
    }
    server.stop();
}

#[test]
fn there_are_at_least_250_cases_and_no_two_are_alike() {
    let (mut names, mut asked, mut count) = (HashSet::new(), HashSet::new(), 0);
    for (file, _) in FILES {
        for case in cases(file) {
            count += 1;
            assert!(names.insert(case.name.clone()), "{}: twice", case.name);
            let script = format!("{:?}", case::script(&case));
            assert!(asked.insert(script), "{}: the same as another", case.name);
            assert!(case.expects(), "{}: nothing is expected", case.name);
        }
    }
    assert!(count >= 250, "{count}");
}

fn part(driver: &str) {
    let folder = peers::folder();
    let server = peers::sockeye(folder.path(), driver);
    let known = Known::settled(server.address);
    for (file, _) in FILES {
        let mut number = 0;
        let mut part = cases(file);
        part.retain(|_| {
            number += 1;
            number % 4 == 0
        });
        let outcomes = all_outcomes(&part, server.address, &known, PATIENCE);
        assert_eq!(failures(&part, &outcomes), "");
    }
    server.stop();
}

on_every_driver!(part);

/// Written anew only if that is asked for; `no_case_fails` compares the column of this server.
#[test]
fn the_table_names_the_servers_it_was_made_with() {
    if std::env::var_os("SOCKEYE_WRITE_TABLE").is_some()
        && need("the table of conformance", &["nginx", "lighttpd", "haproxy", "python3"])
    {
        let folder = peers::folder();
        let server = peers::sockeye(folder.path(), "epoll-edge");
        let known = Known::settled(server.address);
        let run =
            |(file, _): &(&str, &str)| all_outcomes(&cases(file), server.address, &known, PATIENCE);
        table::write(&FILES.iter().map(run).collect::<Vec<_>>());
    }
    let table = table::read();
    for name in ["nginx ", "lighttpd ", "HAProxy ", "Python "] {
        assert!(table.contains(name), "{name}");
    }
}
