//! Every socket job in one program, and you can see the wire.
//!
//! Glue only: arguments, output, and wiring the eye to the job. One file a subcommand.

mod args;
mod config;
mod connect;
mod drivers;
mod eye;
mod help;
mod listen;
mod live;
mod output;
mod place;
mod screen;
mod serve;
mod signals;
mod talk;
mod watch;

use std::process::ExitCode;

use sockeye_wire::escape::Escaped;

use args::Command;

fn main() -> ExitCode {
    let args = match config::arguments() {
        Ok(args) => args,
        Err(code) => return code,
    };
    args.color.apply();
    let result = match args.command {
        Command::Connect(connect) => connect::run(&connect),
        Command::Listen(listen) => listen::run(*listen),
        Command::Serve(serve) => serve::run(&serve),
        Command::Watch(watch) => watch::run(&watch),
        Command::Drivers(drivers) => drivers::run(&drivers),
        Command::Help(help) => help::help(&help),
        Command::Man(man) => help::man(&man),
        Command::Completions(completions) => help::completions(&completions),
    };
    talk::restore_terminal();
    screen::restore();
    match result {
        Ok(code) => code,
        Err(error) => {
            output::say(format_args!("sockeye: {}", Escaped(told(&error).as_bytes())));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line, without those that the text before them includes already.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}
