//! One script, one transcript: what a program sees is the same on every driver.
//!
//! A script tells what its operations returned, in an order that it determines itself. What is told
//! on each driver is compared with one golden text beside the script. Where a driver has a reason to
//! differ, [`DIFFERENCES`] says so, and nothing else does.

use std::cell::RefCell;
use std::fmt::Display;
use std::io;
use std::rc::Rc;

use sockeye_engine::{Chunk, DriverKind, Stream};

use crate::stage::{EVERY, Stage, play};

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

/// Every script that is not played in a simulation, and why not.
const NOT_SIMULATED: &[(&str, &str)] = &[
    ("one_client_is_accepted_and_sees_its_own_connection", THREADS),
    ("many_clients_that_wait_already_are_all_accepted_and_each_is_answered", THREADS),
    ("who_left_or_reset_before_being_accepted_is_accepted_and_told_apart", THREADS),
    ("who_looks_on_is_told_of_a_connection_that_was_reset_before_it_was_accepted", THREADS),
    ("a_listener_that_is_dropped_while_it_waits_refuses_further_clients", THREADS),
    ("who_still_waits_to_be_accepted_is_let_go_when_the_listener_goes", THREADS),
    ("a_client_that_comes_while_all_places_are_taken_is_served_when_one_is_free", THREADS),
    ("an_answer_in_flight_is_finished_within_the_grace", THREADS),
    ("what_is_not_over_when_the_grace_is_gets_cut_off_and_counted", THREADS),
    ("a_stop_is_no_end_of_the_stream_for_who_is_in_the_middle_of_something", THREADS),
    ("a_stop_comes_through_to_a_server_that_never_had_a_client", THREADS),
    ("bytes_that_arrived_before_the_stop_are_answered", THREADS),
    (
        "a_server_out_of_descriptors_does_not_spin_and_recovers",
        "simulated sockets are no descriptors, so they can't run out",
    ),
    (
        "a_task_that_wakes_itself_all_the_time_starves_nobody",
        "simulated time stands still while a task is ready, so nothing arrives: the run ends with \
         Stuck::Endless, as what_would_go_on_for_ever_is_ended shows",
    ),
    (
        "a_pinger_waits_for_few_operations_of_a_connection_that_never_pauses",
        "simulated time stands still while a task is ready, so no byte comes between its operations",
    ),
    ("bytes_flow_in_both_directions_through_a_storm_of_signals", SIGNALS),
    ("a_deadline_passes_though_signals_interrupt_every_wait", SIGNALS),
    ("timers_and_wakes_come_through_a_storm_of_signals", SIGNALS),
    (
        "wakes_of_several_threads_at_once_are_all_seen",
        "a simulation waits for no thread: with nothing ahead it ends with Stuck::Deadlock, as \
         a_deadlock_is_an_error_that_names_who_waits shows",
    ),
];

const SIGNALS: &str = "signals interrupt system calls, and a simulation makes none that waits";

const THREADS: &str = "Bound is made of threads and descriptors; listening.rs has a listener, its \
    clients and a stop on all drivers";

/// Every file whose scripts run on the drivers that reach a network alone, and why.
const ON_A_KERNEL: &[(&str, &str)] = &[
    ("cancel", "counts descriptors and bytes in the kernel; cancel_steps.rs is on all drivers"),
    ("connecting", "connects to sockets of the machine; sim.rs connects in a simulation"),
    ("endpoints", "endpoints are sockets of the machine"),
    ("endpoints_many", "networks are the kernel's"),
    ("fault_clock", "the wall clock of the process jumps, and simulations have one of their own"),
    ("fault_files", "files are the machine's, and threads are waited for"),
    ("fault_messages", "fails the system calls that move messages"),
    ("offloading", "threads that do the work are waited for, which a simulation never does"),
    ("serving", "Bound is made of threads and descriptors"),
    ("sockets_ancillary", "descriptors and credentials are the kernel's"),
    ("sockets_datagram", "sockets of the machine; sim.rs has datagrams in a simulation"),
    ("sockets_splice", "splice(2) moves bytes between descriptors"),
    ("sockets_unix", "Unix sockets live in folders of the machine"),
    ("stamps", "it is the kernel that stamps what is sent"),
    ("standard", "standard input and output are the process's own descriptors"),
];

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

/// Plays a script on each of the eight drivers and compares what it tells with `golden` (whose
/// indentation does not count), apart from the [`DIFFERENCES`] of this `script`. Nothing may be held
/// when it is over. In a simulation it is played with several seeds.
pub(crate) fn same_on_an_engine(script: &str, golden: &str, run: impl AsyncFn(Told, Stage)) {
    let failures = RefCell::new(String::new());
    let simulated = NOT_SIMULATED.iter().all(|(known, _)| *known != script);
    for kind in EVERY.into_iter().filter(|kind| simulated || *kind != DriverKind::Sim) {
        let golden = expected(script, golden, kind);
        play(kind, &async |stage| {
            let told = Told::default();
            run(told.clone(), stage).await;
            compare(kind, &told, &golden, &mut failures.borrow_mut());
        });
    }
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{script}\n{failures}");
}

/// The same for a script that makes its own engines or servers, on each driver that reaches a network.
/// [`NOT_SIMULATED`] says why it is not played on the eighth.
pub(crate) fn same_everywhere(script: &str, golden: &str, run: impl Fn(DriverKind, &Told)) {
    let why = NOT_SIMULATED.iter().find(|(known, _)| *known == script);
    assert!(why.is_some(), "{script}: no reason is given for not simulating it");
    let mut failures = String::new();
    for kind in DriverKind::ALL {
        let told = Told::default();
        run(kind, &told);
        compare(kind, &told, &expected(script, golden, kind), &mut failures);
    }
    assert!(failures.is_empty(), "{script}\n{failures}");
}

fn compare(kind: DriverKind, told: &Told, expected: &str, failures: &mut String) {
    let got = told.text();
    if got != expected {
        *failures += &format!("--- {kind} told\n{got}\n--- instead of\n{expected}\n");
    }
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
            let known = EVERY.iter().any(|kind| kind.name() == *driver);
            assert!(known, "{script}: there is no driver {driver}");
        }
    }
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it")).expect("it is there")
    {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).expect("a source");
        let on_a_kernel = source.contains("    on_every_driver(|") && name != "transcript";
        let listed = ON_A_KERNEL.iter().any(|(file, _)| *file == name);
        assert_eq!(on_a_kernel, listed, "{name}: on_every_stage, or a reason in ON_A_KERNEL");
    }
    for (script, _) in NOT_SIMULATED {
        assert!(sources.contains(&format!("fn {script}()")), "there is no script {script}");
    }
}
