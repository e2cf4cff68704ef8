//! A file of settings, turned into the flags that say the same.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, told};
use super::{COMMAND, is_list, is_optional, is_switch, keys};
use crate::args::Args;

/// One key of a file.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    /// The flags that say the same; none where it says no more than that something is off.
    pub(super) arguments: Vec<OsString>,
}

/// All that the file says.
pub(super) fn settings(file: &Path, command: &Command) -> Result<Vec<Setting>, Problem> {
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::whole(file, &format_args!("can't be read: {error}")))?;
    let table = DeTable::parse(&text).map_err(|error| match error.span() {
        Some(span) => Problem::at(file, &text, span, error.message()),
        None => Problem::whole(file, &error.message()),
    })?;
    let mut all: Vec<_> = table.get_ref().iter().collect();
    // As they stand in the file, so that the first mistake is told first.
    all.sort_by_key(|(key, _)| key.span().start);
    let mut settings = Vec::new();
    for (key, value) in all {
        let problem = |span, why: String| Problem::at(file, &text, span, why);
        let Some((name, arg)) = keys(command).find(|(name, _)| name == key.get_ref()) else {
            return Err(problem(key.span(), unknown(key.get_ref(), command)));
        };
        let arguments = arguments(&name, arg, value)
            .map_err(|(span, why)| problem(span, format!("{name}: {why}")))?;
        // Alone, so that it is known which one is wrong.
        let mut line: Vec<OsString> = vec!["sockeye".into(), COMMAND.into()];
        line.extend(arguments.iter().cloned());
        match Args::command().try_get_matches_from(line) {
            Ok(_) => {}
            // What it needs may stand elsewhere: that is seen when all are read together.
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {}
            Err(error) => {
                return Err(problem(value.span(), format!("{name}: {}", told(&error))));
            }
        }
        settings.push(Setting { key: name, arguments });
    }
    Ok(settings)
}

fn unknown(key: &str, command: &Command) -> String {
    let near = keys(command)
        .map(|(name, _)| (strsim::damerau_levenshtein(&name, &key.replace('_', "-")), name))
        .min();
    match near {
        Some((distance, name)) if distance <= 1 + key.len() / 3 => {
            format!("{key}: no such setting; did you mean {name}?")
        }
        _ => format!("{key}: no such setting; sockeye serve --help lists them"),
    }
}

/// What is wrong, and with which bytes.
type Wrong = (std::ops::Range<usize>, String);

fn arguments(name: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Wrong> {
    let wrong = |why: String| Err((value.span(), why));
    let flag = |text: &str| match arg.is_positional() {
        // What begins with a hyphen is a path all the same.
        true if text.starts_with('-') => OsString::from(format!("./{text}")),
        true => OsString::from(text),
        false => OsString::from(format!("--{name}={text}")),
    };
    match value.get_ref() {
        DeValue::Boolean(on) if is_switch(arg) || is_optional(arg) => {
            Ok(on.then(|| OsString::from(format!("--{name}"))).into_iter().collect())
        }
        DeValue::Boolean(_) => wrong(format!("it is not on or off; write {name} = \"…\"")),
        _ if is_switch(arg) => wrong("it is true or false".to_owned()),
        DeValue::Array(values) if is_list(arg) => values
            .iter()
            .map(|one| match text(one.get_ref()) {
                Some(text) => Ok(flag(&text)),
                None => Err((one.span(), "each is a text or a number".to_owned())),
            })
            .collect(),
        DeValue::Array(_) => wrong("it has one value, and no list of them".to_owned()),
        value => match text(value) {
            Some(text) => Ok(vec![flag(&text)]),
            None => wrong(format!("a {} is no value for it; write a text", value.type_str())),
        },
    }
}

/// As it would be typed.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => {
            Some(match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.to_string(),
            })
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}
