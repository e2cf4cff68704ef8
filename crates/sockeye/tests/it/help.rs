//! What the program says about itself.

use crate::kit::server::{run, sockeye};

#[test]
fn the_help_of_the_program() {
    assert_help(&["--help"], include_str!("golden/help.txt"));
}

#[test]
fn the_help_of_serve() {
    assert_help(&["serve", "--help"], include_str!("golden/help_serve.txt"));
    assert_help(&["help", "serve"], include_str!("golden/help_serve.txt"));
}

fn assert_help(arguments: &[&str], golden: &str) {
    let (code, stdout, stderr) = run(sockeye().args(arguments));
    // Blanks at the ends of lines can't be seen, and are the library's.
    let lines: Vec<&str> = stdout.lines().map(str::trim_end).collect();
    assert_eq!(lines.join("\n") + "\n", golden);
    assert_eq!((code, &*stderr), (Some(0), ""));
}

#[test]
fn the_version_is_that_of_the_package() {
    let (code, stdout, stderr) = run(sockeye().arg("--version"));
    assert_eq!(stdout, format!("sockeye {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!((code, &*stderr), (Some(0), ""));
}

/// A reader that has seen enough is no reason to complain.
#[test]
fn help_into_a_pipe_nobody_reads_ends_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = sockeye().args(["serve", "--help"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
