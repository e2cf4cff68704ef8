//! `sockeye help`, `sockeye man` and `sockeye completions`: what the program says of itself, all from
//! the definitions it works by.

mod topics;

use std::fmt;
use std::process::ExitCode;

use clap::{CommandFactory as _, ValueEnum};
use sockeye_wire::escape::Escaped;

use crate::args::{self, Args};
use crate::output;

/// What there is a page on, besides the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// How a socket is written, and its options
    Endpoints,
    /// How the borders of messages are marked on a stream
    Framing,
    /// How text is made of bytes
    Encodings,
    /// How a thread waits for its sockets
    Drivers,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Topic::Endpoints => "endpoints",
            Topic::Framing => "framing",
            Topic::Encodings => "encodings",
            Topic::Drivers => "drivers",
        })
    }
}

/// A page on a topic or on a command; without a name, what there is.
pub(crate) fn help(args: &args::Help) -> anyhow::Result<ExitCode> {
    let mut command = command();
    let page = match args.about.as_deref() {
        None => format!("{}\n{}", command.render_long_help(), topics::list()),
        Some(name) => match Topic::from_str(name, false) {
            Ok(topic) => topics::page(topic),
            Err(_) => match command.find_subcommand_mut(name) {
                Some(found) => found.render_long_help().to_string(),
                None => return Ok(unknown(name, &command)),
            },
        },
    };
    print(page.as_bytes())
}

/// A manual page in the language of man(7), of the program or of one of its commands.
pub(crate) fn man(args: &args::Man) -> anyhow::Result<ExitCode> {
    let mut command = command();
    let page = match args.command.as_deref() {
        None => clap_mangen::Man::new(command),
        Some(name) => match command.find_subcommand_mut(name) {
            Some(found) => {
                // The page is called as git calls its own: sockeye-serve(1).
                let title = format!("sockeye-{name}");
                clap_mangen::Man::new(found.clone()).title(title)
            }
            None => return Ok(unknown(name, &command)),
        },
    };
    let mut roff = Vec::new();
    page.render(&mut roff)?;
    print(&roff)
}

/// A script that completes words on the command line.
pub(crate) fn completions(args: &args::Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "sockeye", &mut script);
    print(&script)
}

/// As the parser has it, with all that commands inherit.
fn command() -> clap::Command {
    let mut command = Args::command();
    command.build();
    command
}

/// As with any word on the command line that means nothing.
fn unknown(name: &str, command: &clap::Command) -> ExitCode {
    let commands = command.get_subcommands().filter(|found| !found.is_hide_set());
    let commands: Vec<&str> = commands.map(clap::Command::get_name).collect();
    let topics: Vec<String> = Topic::value_variants().iter().map(Topic::to_string).collect();
    output::say(format_args!(
        "sockeye: there is no help on {}; there is on the commands {} and on {}",
        Escaped(name.as_bytes()),
        commands.join(", "),
        topics.join(", ")
    ));
    ExitCode::from(2)
}

fn print(page: &[u8]) -> anyhow::Result<ExitCode> {
    output::page(page)?;
    Ok(ExitCode::SUCCESS)
}
