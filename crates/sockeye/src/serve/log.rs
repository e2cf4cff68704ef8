//! The access log and the counts of a server: what is kept, and where it goes.

use std::sync::Arc;

use anyhow::Context as _;
use clap::error::ErrorKind;
use sockeye_services::http::{Destination, Ledger, LogFormat, LogNotice, LogWriter};

use super::Shown;
use crate::args::{self, Log, What};
use crate::output::say;

/// What is written down, and by whom.
pub(super) struct Book {
    pub(super) ledger: Option<Arc<Ledger>>,
    pub(super) writer: Option<LogWriter>,
}

/// Opens what the arguments ask for. Where the eye draws on standard error there is no log unless one was
/// asked for: the drawing tells more. A face that has the terminal to itself takes none.
/// `counted` says that somebody asks for counts, whatever the arguments say.
pub(super) fn open(args: &args::Serve, counted: bool) -> anyhow::Result<Book> {
    let operate = &args.operate;
    if args.eye.does(What::Live)
        && operate.log_file.is_none()
        && matches!(operate.log, Some(Log::As(_)))
    {
        args::wrong(
            ErrorKind::ArgumentConflict,
            "--eye=live has the terminal for itself; write the log elsewhere with --log-file FILE",
        );
    }
    let format = match operate.log {
        Some(Log::Off) => None,
        Some(Log::As(format)) => Some(format),
        None if args.eye.draws() && operate.log_file.is_none() => None,
        None => Some(LogFormat::default()),
    };
    let counted = counted || operate.admin.is_some();
    let ledger = (format.is_some() || counted).then(|| Arc::new(Ledger::new(format, counted)));
    let mut writer = None;
    if let (Some(ledger), true) = (&ledger, format.is_some()) {
        let destination = match &operate.log_file {
            Some(file) => Destination::File(file.clone()),
            None => Destination::Stderr,
        };
        let started = LogWriter::start(Arc::clone(ledger), destination, tell);
        writer = Some(started.with_context(|| match &operate.log_file {
            Some(file) => format!("--log-file {}: can't be written", Shown(file)),
            None => "--log: can't be written".to_owned(),
        })?);
    }
    Ok(Book { ledger, writer })
}

fn tell(notice: LogNotice) {
    match notice {
        LogNotice::Lost(count, cause) => {
            let lines = if count == 1 { "line" } else { "lines" };
            match cause {
                Some(error) => say(format_args!("sockeye: log: {count} {lines} lost: {error}")),
                None => say(format_args!(
                    "sockeye: log: {count} {lines} lost: whoever takes them is too slow"
                )),
            }
        }
        LogNotice::NotReopened(file, error) => say(format_args!(
            "sockeye: --log-file {}: can't be opened anew, going on with the old one: {error}",
            Shown(&file)
        )),
    }
}
