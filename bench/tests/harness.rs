//! The harness from end to end, on as little work as it takes to see that it measures.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn idle_connections_of_nginx_and_the_loop_are_weighed_and_what_is_missing_is_said() {
    if !can_run(&["nginx"]) {
        return;
    }
    let output = bench(&["idle", "--connections", "50", "--sockeye", "/nonexistent/sockeye"]);
    let text = stdout_of(&output);
    assert_eq!(text.matches("50 of 50").count(), 2, "{text}");
    assert!(text.contains("| sockeye uring      |       not measured |"), "{text}");
    assert!(text.contains("- sockeye uring: /nonexistent/sockeye: not built"), "{text}");
}

#[test]
fn a_round_gives_every_running_server_its_figures() {
    if !can_run(&["nginx", "wrk"]) {
        return;
    }
    let settings = ["--rounds", "1", "--seconds", "1", "--verbose"];
    let output = bench(&[&["small", "--sockeye", "/nonexistent/sockeye"], &settings[..]].concat());
    let text = stdout_of(&output);
    // In the table and in its one round, at 64 connections and at 512.
    for server in ["nginx sendfile ", "nginx return ", "raw epoll loop ", "raw epoll loop, again "]
    {
        assert_eq!(text.matches(&format!("| {server}")).count(), 4, "{server}: {text}");
    }
    assert!(!text.contains("requests failed"), "{text}");
}

#[test]
fn nginx_answers_each_job_of_http_as_it_is_meant() {
    if !can_run(&["nginx", "wrk"]) {
        return;
    }
    let output = bench(&[&["http", "--sockeye", "/nonexistent/sockeye"], &SHORT[..]].concat());
    let text = stdout_of(&output);
    // A row in each table, and once more; an answer that is not the one that is meant has no figures.
    assert_eq!(text.matches("\n## ").count(), 10, "{text}");
    assert_eq!(text.matches("not built").count(), 20, "sockeye alone: {text}");
    assert_eq!(text.matches("not measured").count(), 20, "sockeye alone: {text}");
    assert!(!text.contains("failed or timed out"), "{text}");
}

#[test]
fn echo_measures_who_is_there_and_names_who_is_not() {
    if !can_run(&[]) {
        return;
    }
    let programs = programs(&["echo-load", "raw-echo"]);
    let programs = programs.path().to_str().expect("path");
    let output = bench(&[&["echo", "--programs", programs], &SHORT[..]].concat());
    let text = stdout_of(&output);
    for heading in ["1 connection, closed", "512 connections, closed", "one way: 8 connections"] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    // Three tables of messages, two of bytes; the first of two loops is what it is compared with.
    assert_eq!(text.matches("| raw epoll loop, again |").count(), 5, "{text}");
    assert_eq!(text.matches("|                             1 |").count(), 5, "{text}");
    assert_eq!(text.matches("- monoio loop: ").count(), 5, "{text}");
    assert!(!text.contains("failed or timed out"), "{text}");
}

#[test]
fn a_wait_is_measured_at_each_number_of_idle_connections_and_drawn() {
    if !can_run(&[]) {
        return;
    }
    let programs = programs(&["echo-load", "echo-server", "raw-echo"]);
    let svg = programs.path().join("wait.svg");
    let idle = ["wait", "--idle", "3,40", "--svg", svg.to_str().expect("path")];
    let directory = ["--programs", programs.path().to_str().expect("path")];
    let output = bench(&[&idle[..], &directory, &SHORT].concat());
    let text = stdout_of(&output);
    assert!(text.contains("3 idle |") && text.contains("40 idle |"), "{text}");
    let not_measured = text.lines().filter(|line| line.contains(" – |")).count();
    assert_eq!(not_measured, 2, "tokio and monoio alone: {text}");
    assert!(text.contains("- 40 idle connections: tokio loop: "), "{text}");
    let svg = std::fs::read_to_string(svg).expect("a picture");
    assert!(svg.contains(">epoll-edge</text>") && svg.contains(">raw epoll loop</text>"), "{svg}");
}

const SHORT: [&str; 6] = ["--rounds", "1", "--seconds", "1", "--warm-up", "0.1"];

/// A directory with these programs of the benchmark and no other ones.
fn programs(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("directory");
    let built = Path::new(env!("CARGO_BIN_EXE_echo-load"));
    for name in names {
        std::os::unix::fs::symlink(built.with_file_name(name), directory.path().join(name))
            .expect("symlink");
    }
    directory
}

#[test]
fn servers_and_load_on_one_core_are_refused() {
    let output = bench(&["small", "--server-core", "0", "--load-core", "0"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("share core 0"), "{text}");
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockeye-bench"))
        .args(arguments)
        .output()
        .expect("sockeye-bench")
}

fn stdout_of(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Whether the machine has the programs and two cores; with SOCKEYE_NO_SKIP it must.
fn can_run(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories: Vec<&str> = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]).collect();
    let missing = programs.iter().copied().find(|name| {
        !directories.iter().any(|directory| Path::new(directory).join(name).is_file())
    });
    let one_core = std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2);
    let reason = missing.or(one_core.then_some("a second core"));
    let Some(reason) = reason else { return true };
    assert!(std::env::var_os("SOCKEYE_NO_SKIP").is_none(), "this test needs {reason}");
    // Past the test runner's capture, so that it is seen.
    writeln!(std::io::stderr(), "skipped: this test needs {reason}").expect("standard error");
    false
}
