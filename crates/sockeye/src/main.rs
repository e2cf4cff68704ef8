//! Every socket job in one program, and you can see the wire.
//!
//! Glue only: arguments, output, and wiring the eye to the job. One file a subcommand.

mod args;
mod eye;
mod output;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    args.color.apply();
    let result = match args.command {
        Command::Serve(serve) => serve::run(&serve),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::say(format_args!("sockeye: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
