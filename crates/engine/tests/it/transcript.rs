//! One script, one transcript: what a program sees is the same on every driver.
//!
//! A script tells what its operations returned, in an order that it determines itself. What is told
//! on each driver is compared with one golden text beside the script. Where a driver has a reason to
//! differ, [`DIFFERENCES`] says so, and nothing else does.

use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use sockeye_engine::{Chunk, DriverKind, Stream, Usage};

use crate::{engine, until_closed};

/// A line that reads differently on some drivers.
struct Difference {
    /// The test's name.
    script: &'static str,
    /// The drivers' names.
    drivers: &'static [&'static str],
    /// The golden line, which occurs once.
    golden: &'static str,
    /// What is told instead.
    instead: &'static str,
    /// Why that is right.
    #[allow(dead_code, reason = "it is there to be read")]
    reason: &'static str,
}

/// Every difference between drivers there is. One that is no longer needed fails its script.
const DIFFERENCES: &[Difference] = &[
    Difference {
        script: "a_server_out_of_descriptors_does_not_spin_and_recovers",
        drivers: &["busy"],
        golden: "processor time while full: less than a twentieth",
        instead: "processor time while full: all there is",
        reason: "this driver asks in a loop and never sleeps: that is what it is there to show",
    },
    Difference {
        script: "a_reset_in_the_middle_of_a_send_is_told_to_it",
        drivers: &["uring"],
        golden: "flush: ConnectionReset",
        instead: "flush: BrokenPipe",
        reason: HALF_SENT,
    },
    Difference {
        script: "a_reset_in_the_middle_of_a_send_of_many_pieces_is_told_to_it",
        drivers: &["uring"],
        golden: "flush: ConnectionReset",
        instead: "flush: BrokenPipe",
        reason: HALF_SENT,
    },
    Difference {
        script: "a_reset_after_a_flush_was_dropped_is_told_to_the_next_one",
        drivers: &["uring"],
        golden: "flush: ConnectionReset",
        instead: "flush: BrokenPipe",
        reason: HALF_SENT,
    },
];

const HALF_SENT: &str = "a send with MSG_WAITALL that fails half-way completes with the count it \
    sent: the kernel has used its one ECONNRESET up, and the rest, sent again, gets EPIPE";

/// What a script has told so far.
#[derive(Clone, Default)]
pub(crate) struct Told {
    lines: Rc<RefCell<Vec<String>>>,
}

impl Told {
    pub(crate) fn say(&self, line: impl Display) {
        self.lines.borrow_mut().push(line.to_string());
    }

    /// How an operation ended.
    pub(crate) fn ended<T>(&self, operation: &str, result: &io::Result<T>) {
        match result {
            Ok(_) => self.say(format_args!("{operation}: ok")),
            Err(error) => self.say(format_args!("{operation}: {:?}", error.kind())),
        }
    }

    /// What one receive brought. Only for parts so small that they come whole.
    pub(crate) fn received(&self, result: &io::Result<Chunk>) {
        match result {
            Ok(chunk) if chunk.is_empty() => self.say("recv: end"),
            Ok(chunk) => self.say(format_args!("recv: {}", String::from_utf8_lossy(chunk))),
            Err(error) => self.say(format_args!("recv: {:?}", error.kind())),
        }
    }

    /// Receives once and tells.
    pub(crate) async fn recv(&self, stream: &mut Stream) {
        let result = stream.recv().await;
        self.received(&result);
    }

    /// Writes, flushes and tells.
    pub(crate) async fn send(&self, stream: &mut Stream, text: &str) {
        stream.write(text.as_bytes());
        let result = stream.flush().await;
        self.ended(&format!("send {text}"), &result);
    }

    fn text(&self) -> String {
        self.lines.borrow().join("\n")
    }
}

/// Runs `run` for each driver and compares what it tells with `golden` (whose indentation does not
/// count), apart from the [`DIFFERENCES`] of this `script`.
pub(crate) fn same_everywhere(script: &str, golden: &str, run: impl Fn(DriverKind, &Told)) {
    let mut failures = String::new();
    for kind in DriverKind::ALL {
        let told = Told::default();
        run(kind, &told);
        let (got, expected) = (told.text(), expected(script, golden, kind));
        if got != expected {
            failures += &format!("--- {kind} told\n{got}\n--- instead of\n{expected}\n");
        }
    }
    assert!(failures.is_empty(), "{script}\n{failures}");
}

/// The same for a script that is one future; an engine is made for it, which must hold nothing
/// when the script is over.
pub(crate) fn same_on_an_engine(script: &str, golden: &str, run: impl AsyncFn(Told)) {
    same_everywhere(script, golden, |kind, told| {
        let engine = engine(kind);
        engine.block_on(run(told.clone()));
        engine.block_on(until_closed(&engine));
        assert_eq!(engine.usage(), Usage::default(), "{script}: {kind} holds on to something");
    });
}

fn expected(script: &str, golden: &str, kind: DriverKind) -> String {
    let mut lines: Vec<&str> = golden.trim().lines().map(str::trim).collect();
    for difference in DIFFERENCES {
        if difference.script != script || !difference.drivers.contains(&kind.name()) {
            continue;
        }
        let mut places = lines.iter_mut().filter(|line| **line == difference.golden);
        let place = places.next().expect("the golden text has the line that differs");
        *place = difference.instead;
        assert!(places.next().is_none(), "{}: this line occurs twice", difference.golden);
    }
    lines.join("\n")
}

#[test]
fn every_difference_belongs_to_a_script_and_a_driver_that_exist() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it"));
    let sources: String = sources
        .expect("the folder of this file")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a source"))
        .collect();
    for difference in DIFFERENCES {
        let script = difference.script;
        assert!(sources.contains(&format!("fn {script}()")), "there is no script {script}");
        for driver in difference.drivers {
            driver.parse::<DriverKind>().unwrap_or_else(|error| panic!("{script}: {error}"));
        }
    }
}
