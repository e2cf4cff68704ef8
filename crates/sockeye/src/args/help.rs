//! Arguments of `sockeye help`, `sockeye man` and `sockeye completions`.

/// Explain a command, or what commands share: endpoints, framing, encodings, drivers
#[derive(clap::Args)]
pub(crate) struct Help {
    /// A command or a topic [default: a list of both]
    #[arg(value_name = "NAME")]
    pub(crate) about: Option<String>,
}

/// Write a manual page, to be read with man
///
/// For instance: sockeye man > ~/.local/share/man/man1/sockeye.1
#[derive(clap::Args)]
pub(crate) struct Man {
    /// The command [default: the program itself]
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// Write a script that completes sockeye's command lines in a shell
///
/// For instance: sockeye completions bash > ~/.local/share/bash-completion/completions/sockeye
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
