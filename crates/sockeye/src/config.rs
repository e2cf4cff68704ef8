//! Settings of `sockeye serve` from a file: TOML, equal to the flags.
//!
//! There is one list of settings, the definition of the command line. A key is the long name of a flag,
//! its value what the flag takes; the file is turned into flags and read by the same parser. A flag that
//! was typed wins over the file.

mod effective;
mod file;
mod problem;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use crate::args::{self, Args};
use file::{Setting, settings};
use problem::Problem;

/// The command whose settings may come from a file.
const COMMAND: &str = "serve";

/// What is about the file and so not in it.
const NOT_IN_FILE: [&str; 4] = ["config", "check_config", "help", "version"];

/// What the command line says, with the settings of the file that it names, if it names one. A file that
/// can't be understood is told of, and its error is what to exit with; a command line ends the program.
pub(crate) fn arguments() -> Result<Args, ExitCode> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    match read(&typed) {
        Ok(args) => Ok(args),
        Err(Wrong::Typed(error)) => error.exit(),
        Err(Wrong::File(problem)) => {
            crate::output::say(format_args!("sockeye: {problem}"));
            Err(ExitCode::from(2))
        }
    }
}

/// Why there are no settings.
#[derive(Debug)]
enum Wrong {
    Typed(clap::Error),
    File(Problem),
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Wrong {
        Wrong::File(problem)
    }
}

fn read(typed: &[OsString]) -> Result<Args, Wrong> {
    let mut root = Args::command();
    // What holds for all commands is known to each of them from here on.
    root.build();
    let matches = root.clone().try_get_matches_from(typed).map_err(Wrong::Typed)?;
    let of_serve = matches.subcommand_matches(COMMAND).map(|serve| {
        let file = serve.get_one::<std::path::PathBuf>("config").cloned();
        (file, serve.get_flag("check_config"))
    });
    let (Some((file, checks)), Some(command)) = (of_serve, root.find_subcommand(COMMAND)) else {
        return Args::from_arg_matches(&matches).map_err(Wrong::Typed);
    };
    let mut said = Vec::new();
    let mut all = matches;
    if let Some(file) = &file {
        let serve = all.subcommand_matches(COMMAND);
        let typed_ones = |arg: &Arg| serve.is_some_and(|serve| is_typed(serve, arg));
        said = settings(file, command)?;
        said.retain(|setting| !is_overruled(command, setting, &typed_ones));
        let whole = with(typed, said.iter().flat_map(|setting| setting.arguments.iter().cloned()));
        all = root
            .clone()
            .try_get_matches_from(whole)
            .map_err(|error| Problem::whole(file, &problem::told(&error)))?;
    }
    let effective = checks.then(|| {
        let serve = all.subcommand_matches(COMMAND);
        let keys: Vec<&str> = said.iter().map(|setting| setting.key.as_str()).collect();
        serve.map(|serve| effective::toml(command, serve, &keys)).unwrap_or_default()
    });
    let mut args = Args::from_arg_matches(&all).map_err(Wrong::Typed)?;
    if let args::Command::Serve(serve) = &mut args.command {
        serve.operate.effective = effective;
    }
    Ok(args)
}

/// The settings that a file may have.
fn keys(command: &Command) -> impl Iterator<Item = (String, &Arg)> {
    let settings =
        command.get_arguments().filter(|arg| !NOT_IN_FILE.contains(&arg.get_id().as_str()));
    settings.map(|arg| (key(arg), arg))
}

/// A setting's name in a file: that of its flag; an argument without a flag has its own.
fn key(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().as_str().replace('_', "-"), str::to_owned)
}

fn is_typed(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// Whether what was typed is in the place of this setting: the same flag, or one that excludes it.
fn is_overruled(command: &Command, setting: &Setting, typed: &dyn Fn(&Arg) -> bool) -> bool {
    let of = |key_: &str| command.get_arguments().find(|arg| key(arg) == key_);
    let Some(own) = of(&setting.key) else {
        return false;
    };
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    let mut others = command.get_arguments().filter(|arg| typed(arg));
    others.any(|arg| arg.get_id() == own.get_id() || excludes(arg, own) || excludes(own, arg))
}

/// What was typed, with more arguments of the subcommand in front of its own.
fn with(typed: &[OsString], more: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let at = typed.iter().position(|word| word == COMMAND).map_or(typed.len(), |at| at + 1);
    let (before, behind) = typed.split_at(at);
    before.iter().cloned().chain(more).chain(behind.iter().cloned()).collect()
}

/// Whether it is on or off, and takes nothing.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether it may stand without its value.
fn is_optional(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.min_values() == 0 && range.takes_values())
}

/// Whether it may be given several times.
fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

#[cfg(test)]
mod tests;
