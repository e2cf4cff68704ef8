//! The fault sweep: a script is run again and again, and each time another one of the calls that the
//! server makes to the kernel fails. Whatever fails, nothing hangs, panics or leaks, nobody is told
//! wrong bytes, at most the connection it happened on is harmed, and the server goes on.

mod clock;
mod relay;
mod scripts;
mod sweep;

use std::process::Command;

use sweep::{Service, sweep};

/// Set in the process that a sweep has to itself: it counts descriptors and panics.
const ALONE: &str = "SOCKEYE_TEST_ALONE";

/// Runs the test of this name in a process of its own, and shows what it said.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, and when it fails")]
fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let mut alone = Command::new(std::env::current_exe().expect("this program"));
    let output = alone.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("it starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_fault_harms_one_connection_of_a_file_server_at_most() {
    alone("fault::a_fault_harms_one_connection_of_a_file_server_at_most", || sweep(Service::Http));
}

#[test]
fn a_fault_harms_one_connection_of_an_echo_at_most() {
    alone("fault::a_fault_harms_one_connection_of_an_echo_at_most", || sweep(Service::Echo));
}

#[test]
fn a_fault_harms_one_connection_of_a_discard_at_most() {
    alone("fault::a_fault_harms_one_connection_of_a_discard_at_most", || sweep(Service::Discard));
}

#[test]
fn a_fault_harms_one_connection_of_a_relay_at_most() {
    alone("fault::a_fault_harms_one_connection_of_a_relay_at_most", || sweep(Service::Relay));
}

#[test]
fn a_jump_of_the_wall_clock_harms_nobody() {
    // The clock is the process's, and other tests look at it.
    alone("fault::a_jump_of_the_wall_clock_harms_nobody", clock::jumps);
}
