//! Talking over sockets, what `connect` and `listen` share: messages typed or piped in, and
//! messages shown.
//!
//! Everything here belongs to one thread of one engine. [`open`] gives both ends of the user's side;
//! each connection and direction has a [`Flow`], which knows where in its stream the next message
//! begins.

mod editor;
mod flow;
mod input;
mod pieces;
mod printer;
mod shown;
pub(crate) mod socket;

use std::io;
use std::rc::Rc;

pub(crate) use editor::restore as restore_terminal;
pub(crate) use flow::{Direction, Flow};
pub(crate) use input::{Composer, Input, Message};
pub(crate) use printer::Printer;

use crate::args;

/// The user's side: standard input, cut into messages, and standard output. Where both are a terminal,
/// what is typed can be edited, and is kept apart from what is shown. Raw input is cut into messages of
/// `datagram` bytes at most, if that is said.
///
/// # Errors
///
/// Standard input or output can't be watched.
///
/// # Panics
///
/// Outside of an engine.
pub(crate) fn open(args: &args::Talk, datagram: Option<usize>) -> io::Result<(Input, Rc<Printer>)> {
    // What may send control characters has the terminal for itself.
    let console = if args.raw_output { None } else { editor::open()? };
    let Some((console, typed, pipes)) = console else {
        return Ok((Input::stdin(args, datagram)?, Rc::new(Printer::stdout(args)?)));
    };
    let input = Input::typed(args, datagram, pipes.typed, typed)?;
    Ok((input, Rc::new(Printer::console(args, pipes.shown, console)?)))
}

/// Standard output alone, where nothing is typed.
///
/// # Errors
///
/// Standard output can't be watched.
///
/// # Panics
///
/// Outside of an engine.
pub(crate) fn show(args: &args::Talk) -> io::Result<Rc<Printer>> {
    Ok(Rc::new(Printer::stdout(args)?))
}

/// Whether this is only the news that nobody reads standard output any more (`| head`), which is
/// no failure of ours and not worth a word.
pub(crate) fn nobody_reads(error: &anyhow::Error) -> bool {
    // The socket's own errors say more than this.
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.is::<printer::NobodyReads>() || error.downcast_ref().is_some_and(broken)
}
