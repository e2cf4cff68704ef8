//! All settings that hold, as a file which says the same.

use std::fmt::Write as _;

use clap::{ArgMatches, Command};

use super::{is_list, is_switch, is_typed, keys};

/// The settings as TOML, each with where it comes from; `from_file` names those of the file. What is not
/// set stands there as a comment.
pub(super) fn toml(command: &Command, matches: &ArgMatches, from_file: &[&str]) -> String {
    let mut text = String::new();
    for (key, arg) in keys(command) {
        let id = arg.get_id().as_str();
        let values: Vec<String> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let value = match &values[..] {
            _ if is_switch(arg) => matches.get_flag(id).to_string(),
            [] => {
                line(&mut text, format_args!("# {key} is not set"));
                continue;
            }
            [value] if !is_list(arg) => written(value),
            values => {
                let written: Vec<String> = values.iter().map(|value| written(value)).collect();
                format!("[{}]", written.join(", "))
            }
        };
        let source = match (from_file.contains(&key.as_str()), is_typed(matches, arg)) {
            (true, _) => "from the file",
            (false, true) => "from the command line",
            (false, false) => "default",
        };
        line(&mut text, format_args!("{key} = {value}  # {source}"));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok(), "memory takes all");
}

/// A number as it is, anything else as a basic string (TOML 1.0 §String).
fn written(value: &str) -> String {
    let is_number = value.parse::<u32>().is_ok_and(|number| number.to_string() == value);
    if is_number {
        return value.to_owned();
    }
    let mut text = String::from('"');
    for shown in value.chars() {
        match shown {
            '"' | '\\' => text.extend(['\\', shown]),
            // What a terminal would obey must not come out as it is, either.
            shown if shown.is_ascii_graphic() || shown == ' ' || shown.is_alphanumeric() => {
                text.push(shown);
            }
            shown => {
                let written = write!(text, "\\U{:08X}", u32::from(shown));
                debug_assert!(written.is_ok(), "memory takes all");
            }
        }
    }
    text.push('"');
    text
}
