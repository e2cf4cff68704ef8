//! What the program says about itself.

use crate::kit::server::{run, sockeye};

#[test]
fn the_help_of_the_program() {
    assert_help(&["--help"], include_str!("golden/help.txt"));
}

#[test]
fn the_help_of_connect() {
    assert_help(&["connect", "--help"], include_str!("golden/help_connect.txt"));
}

#[test]
fn the_help_of_listen() {
    assert_help(&["listen", "--help"], include_str!("golden/help_listen.txt"));
}

#[test]
fn the_help_of_serve() {
    assert_help(&["serve", "--help"], include_str!("golden/help_serve.txt"));
    assert_help(&["help", "serve"], include_str!("golden/help_serve.txt"));
}

#[test]
fn the_help_of_watch() {
    assert_help(&["watch", "--help"], include_str!("golden/help_watch.txt"));
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

#[test]
fn the_pages_on_what_commands_share() {
    assert_help(&["help", "endpoints"], include_str!("golden/help_endpoints.txt"));
    assert_help(&["help", "framing"], include_str!("golden/help_framing.txt"));
    assert_help(&["help", "encodings"], include_str!("golden/help_encodings.txt"));
    assert_help(&["help", "drivers"], include_str!("golden/help_drivers.txt"));
}

#[test]
fn help_on_what_there_is_none_on_says_what_there_is() {
    let (code, stdout, stderr) = run(sockeye().args(["help", "frob\x1b[2J"]));
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert!(stderr.starts_with("sockeye: there is no help on frob\\x1b[2J; "), "{stderr}");
    assert!(stderr.ends_with(" and on endpoints, framing, encodings, drivers\n"), "{stderr}");
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_completions() {
    let (code, page, stderr) = run(sockeye().arg("man"));
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(page.contains(".TH sockeye 1"), "{page}");
    let (_, list, _) = run(sockeye().arg("--help"));
    let commands = list.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"serve"), "{list}");
    for name in names {
        let (code, page, stderr) = run(sockeye().args(["man", name]));
        assert_eq!((code, &*stderr), (Some(0), ""), "{name}");
        assert!(page.contains(&format!(".TH sockeye-{name} 1")), "{page}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = run(sockeye().args(["completions", shell]));
        assert_eq!((code, &*stderr), (Some(0), ""), "{shell}");
        assert!(script.contains("serve"), "{shell}");
    }
}
