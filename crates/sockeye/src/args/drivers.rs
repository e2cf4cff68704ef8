//! What `sockeye drivers` may be told.

/// List the ways a thread can wait for its sockets
///
/// Each can be chosen by --driver. Says whether the kernel here offers it, and measures what one
/// small message costs on it: the processor time of a thread that waits for it, receives it and
/// answers, with few and with many other connections idle.
#[derive(clap::Args)]
pub(crate) struct Drivers {
    /// Print one JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Idle connections in the second measurement; 0 measures nothing
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=5000))]
    pub(crate) idle: u32,
}
