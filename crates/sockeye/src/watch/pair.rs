//! Two recordings, one of each end: a picture for each connection both have, and for each two sockets
//! of datagrams that talked to each other.

use std::io::BufRead;
use std::process::ExitCode;

use anyhow::Context as _;
use sockeye_eye::datagram::DatagramHistory;
use sockeye_eye::pair::{self, Alone};
use sockeye_eye::record::History;
use sockeye_eye::recording::{Ended, Ending, Header, Playback, ReadError, Reader};
use sockeye_eye::view::{self, Style};

use super::print;
use crate::output::say;

/// So many connections and sockets of a recording are looked at; each keeps its first and last records.
const MOST: usize = 20_000;

/// So many that have no other end are named.
const NAMED: usize = 10;

/// Draws what both have in common, and names what one of them has alone.
pub(super) fn draw(
    files: [(String, Box<dyn BufRead + Send>); 2],
    style: &Style,
) -> anyhow::Result<ExitCode> {
    let [(one_name, one), (other_name, other)] = files;
    let one = Recorded::read(one, &one_name)?;
    let other = Recorded::read(other, &other_name)?;
    if one.header == other.header {
        say(format_args!(
            "sockeye: {one_name} and {other_name} are the same recording twice, and two are those of both \
             ends; given once it is drawn alone"
        ));
        return Ok(ExitCode::FAILURE);
    }
    let one_machine = one.header.boot.is_some() && one.header.boot == other.header.boot;
    let sockets = [&one.sockets[..], &other.sockets[..]];
    let (datagrams, strangers) = pair::join_datagrams(sockets[0], sockets[1], one_machine);
    let joined = pair::join(one.connections, other.connections, one_machine);
    let pictures = joined.pairs.iter().map(|pair| view::pair(pair, style));
    for picture in pictures.chain(datagrams.iter().map(|pair| view::datagram_pair(pair, style))) {
        if !print(&picture)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let names = [&one_name, &other_name];
    let mut whole = ExitCode::SUCCESS;
    for (name, failed) in names.iter().zip([one.failed, other.failed]) {
        if let Some(error) = failed {
            say(format_args!("sockeye: {name}: {error}; what came before it is looked at"));
            whole = ExitCode::FAILURE;
        }
    }
    for (side, alone) in joined.alone.iter().enumerate() {
        let mut lines: Vec<String> = alone
            .iter()
            .map(|(history, why)| format!("{}: {}", ends(history), word(*why)))
            .collect();
        lines.extend(strangers[side].iter().map(|place| {
            let socket = &sockets[side][*place];
            format!("datagrams at {}: its other end is not in the other file", socket.local)
        }));
        for line in lines.iter().take(NAMED) {
            say(format_args!("sockeye: {}: {line}", names[side]));
        }
        if let more @ 1.. = lines.len().saturating_sub(NAMED) {
            say(format_args!("sockeye: {}: {more} more without their other end", names[side]));
        }
    }
    if joined.pairs.is_empty() && datagrams.is_empty() {
        say(format_args!(
            "sockeye: {one_name} and {other_name} have no connection in common; each can be drawn alone"
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(whole)
}

/// All that is in a recording.
struct Recorded {
    header: Header,
    connections: Vec<History>,
    sockets: Vec<DatagramHistory>,
    /// What was wrong with the line behind all that.
    failed: Option<ReadError>,
}

impl Recorded {
    /// What is wrong within it is said, and what came before that is taken.
    fn read(input: impl BufRead, name: &str) -> anyhow::Result<Recorded> {
        let reader = Reader::new(input).with_context(|| name.to_owned())?;
        let mut playback = Playback::new(reader);
        let header = playback.header().clone();
        let (connections, sockets) = (Vec::new(), Vec::new());
        let mut recorded = Recorded { header, connections, sockets, failed: None };
        let mut too_many = 0_u64;
        for ended in &mut playback {
            match ended {
                // What was open then comes behind it.
                Err(error) => recorded.failed = Some(error),
                Ok(Ended::Connection { history, .. }) if recorded.connections.len() < MOST => {
                    recorded.connections.push(*history);
                }
                Ok(Ended::Datagrams(socket)) if recorded.sockets.len() < MOST => {
                    recorded.sockets.push(*socket);
                }
                Ok(_) => too_many += 1,
            }
        }
        if too_many > 0 {
            say(format_args!(
                "sockeye: {name}: the first {MOST} connections are looked at, {too_many} are not"
            ));
        }
        match playback.ending() {
            _ if recorded.failed.is_some() => {}
            Ending::Finished => {}
            Ending::Open => say(format_args!(
                "sockeye: {name}: the recording has no end: its program was killed, or runs still"
            )),
            Ending::Cut { line } => say(format_args!(
                "sockeye: {name}: line {line} is cut short; what came before it is looked at"
            )),
        }
        Ok(recorded)
    }
}

/// Which connection it is, as the recording's own picture calls it.
fn ends(history: &History) -> String {
    use sockeye_engine::probe::Role;

    let (client, server) = match history.role {
        Role::Client => (&history.local, &history.peer),
        Role::Server => (&history.peer, &history.local),
    };
    format!("{client} -> {server}")
}

fn word(why: Alone) -> &'static str {
    match why {
        Alone::NotThere => "its other end is not in the other file",
        Alone::Ambiguous => {
            "several in the other file may be its other end, and nothing tells which"
        }
        Alone::Neutral => "neither of its ends is the program that recorded it",
    }
}
