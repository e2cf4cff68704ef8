//! Taking a stream apart into data and commands, and putting data into one.

use std::fmt;

use super::options::Agreed;
use super::{Opt, Verb};

/// "Interpret as command": stands ahead of every command, and twice for itself in data.
const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;

/// The longest subnegotiation that is kept, in bytes.
pub const MAX_SUBNEGOTIATION: usize = 4096;

/// What stands next on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes for the user, unescaped. A part of what was given.
    Data(&'a [u8]),
    /// A command of one byte.
    Command(Command),
    /// What the peer said about an option. The answer, if one is due, is in the reply.
    Negotiation {
        /// What it said.
        verb: Verb,
        /// About what.
        option: Opt,
    },
    /// What the peer told within an option (RFC 855).
    Subnegotiation {
        /// The option.
        option: Opt,
        /// What it told, unescaped.
        data: Vec<u8>,
        /// Whether some of it is missing: it was longer than [`MAX_SUBNEGOTIATION`], or another
        /// command stood where its end belongs.
        incomplete: bool,
    },
}

/// A command of one byte behind IAC (RFC 854), by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// Nothing.
    pub const NOP: Command = Command(241);
    /// The break key.
    pub const BREAK: Command = Command(243);
    /// Interrupt process.
    pub const INTERRUPT_PROCESS: Command = Command(244);
    /// Are you there?
    pub const ARE_YOU_THERE: Command = Command(246);
    /// The other side may send now.
    pub const GO_AHEAD: Command = Command(249);
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            236 => "EOF",
            237 => "SUSP",
            238 => "ABORT",
            239 => "EOR",
            240 => "SE",
            241 => "NOP",
            242 => "DM",
            243 => "BRK",
            244 => "IP",
            245 => "AO",
            246 => "AYT",
            247 => "EC",
            248 => "EL",
            249 => "GA",
            other => return write!(f, "command {other}"),
        };
        f.write_str(name)
    }
}

/// One end of a Telnet connection, without the connection.
///
/// Everything a peer asks for is refused, except what is harmless: BINARY and SUPPRESS-GO-AHEAD
/// both ways, and ECHO by the server. Answers follow the Q method (RFC 1143), so that no two ends
/// agree for ever, and wait in [`take_reply`](Telnet::take_reply): at most three bytes for each
/// three received.
///
/// Unless BINARY is agreed on, a CR that is no end of line is CR NUL on the wire (RFC 854, "The
/// Telnet Printer and Keyboard").
#[derive(Clone, Debug)]
pub struct Telnet {
    state: State,
    /// What the peer performs, and what we do, by option.
    theirs: [Agreed; 256],
    ours: [Agreed; 256],
    server: bool,
    reply: Vec<u8>,
    subnegotiation: Vec<u8>,
    incomplete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    /// Behind a CR, where a NUL is no data.
    AfterCr,
    /// Behind IAC.
    Iac,
    /// Behind IAC and a verb.
    Verb(Verb),
    /// Behind IAC SB.
    Sb,
    /// Within a subnegotiation.
    Within(Opt),
    /// Behind an IAC within a subnegotiation.
    WithinIac(Opt),
}

impl Telnet {
    /// The end that connects: lets the peer echo.
    #[must_use]
    pub fn client() -> Telnet {
        Telnet::new(false)
    }

    /// The end that listens: echoes if it is asked to. The echoing is the caller's, if
    /// [`performs`](Telnet::performs) says so.
    #[must_use]
    pub fn server() -> Telnet {
        Telnet::new(true)
    }

    fn new(server: bool) -> Telnet {
        Telnet {
            state: State::Data,
            theirs: [Agreed::No; 256],
            ours: [Agreed::No; 256],
            server,
            reply: Vec::new(),
            subnegotiation: Vec::new(),
            incomplete: false,
        }
    }

    /// Whether this end performs the option.
    #[must_use]
    pub fn performs(&self, option: Opt) -> bool {
        self.ours[usize::from(option.0)] == Agreed::Yes
    }

    /// Whether the peer performs the option.
    #[must_use]
    pub fn peer_performs(&self, option: Opt) -> bool {
        self.theirs[usize::from(option.0)] == Agreed::Yes
    }

    /// Whether a command has begun and is not whole: at the end of the stream, it was cut off.
    #[must_use]
    pub fn within_command(&self) -> bool {
        !matches!(self.state, State::Data | State::AfterCr)
    }

    /// Offers to perform an option, or says that it will stop. What to send is in the reply.
    pub fn offer(&mut self, option: Opt, wanted: bool) {
        if let Some(yes) = self.ours[usize::from(option.0)].want(wanted) {
            self.say(if yes { Verb::Will } else { Verb::Wont }, option);
        }
    }

    /// Asks the peer to perform an option, or to stop. What to send is in the reply.
    pub fn ask(&mut self, option: Opt, wanted: bool) {
        if let Some(yes) = self.theirs[usize::from(option.0)].want(wanted) {
            self.say(if yes { Verb::Do } else { Verb::Dont }, option);
        }
    }

    /// What is to be sent to the peer, as it is, and before any more data.
    #[must_use]
    pub fn take_reply(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.reply)
    }

    /// Takes what stands next off the front of `input`; `None` when all of it is taken.
    ///
    /// Where `input` ends does not matter: a command that is cut goes on with the next one.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            let &[byte, ref rest @ ..] = *input else { return None };
            match self.state {
                State::AfterCr if byte == 0 => {
                    *input = rest;
                    self.state = State::Data;
                }
                State::Data | State::AfterCr if byte == IAC => {
                    *input = rest;
                    self.state = State::Iac;
                }
                State::Data | State::AfterCr => return Some(Event::Data(self.data(input))),
                State::Iac if byte == IAC => {
                    // The second of the two is the byte meant.
                    let data = &input[..1];
                    *input = rest;
                    self.state = State::Data;
                    return Some(Event::Data(data));
                }
                State::Iac => {
                    *input = rest;
                    self.state = match Verb::of(byte) {
                        Some(verb) => State::Verb(verb),
                        None if byte == SB => State::Sb,
                        None => {
                            self.state = State::Data;
                            return Some(Event::Command(Command(byte)));
                        }
                    };
                }
                State::Verb(verb) => {
                    *input = rest;
                    self.state = State::Data;
                    let option = Opt(byte);
                    self.answer(verb, option);
                    return Some(Event::Negotiation { verb, option });
                }
                State::Sb => {
                    *input = rest;
                    self.incomplete = false;
                    self.state = State::Within(Opt(byte));
                }
                State::Within(option) => {
                    if byte == IAC {
                        *input = rest;
                        self.state = State::WithinIac(option);
                    } else {
                        let end = memchr::memchr(IAC, input).unwrap_or(input.len());
                        self.keep(&input[..end]);
                        *input = &input[end..];
                    }
                }
                State::WithinIac(option) if byte == IAC => {
                    *input = rest;
                    self.keep(&[IAC]);
                    self.state = State::Within(option);
                }
                State::WithinIac(option) => {
                    if byte == SE {
                        *input = rest;
                        self.state = State::Data;
                    } else {
                        // The end is missing; the command that stands there counts.
                        self.incomplete = true;
                        self.state = State::Iac;
                    }
                    let data = std::mem::take(&mut self.subnegotiation);
                    let incomplete = self.incomplete;
                    return Some(Event::Subnegotiation { option, data, incomplete });
                }
            }
        }
    }

    /// Appends `data` to `out` as it is sent.
    ///
    /// A CR LF is an end of line and must not be cut over two calls; a CR alone gets its NUL at
    /// once.
    pub fn encode(&self, data: &[u8], out: &mut Vec<u8>) {
        let binary = self.performs(Opt::BINARY);
        out.reserve(data.len());
        for (at, &byte) in data.iter().enumerate() {
            out.push(byte);
            match byte {
                IAC => out.push(IAC),
                b'\r' if !binary && data.get(at + 1) != Some(&b'\n') => out.push(0),
                _ => {}
            }
        }
    }

    /// Takes data up to the next IAC, or to the NUL behind a CR.
    fn data<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let binary = self.peer_performs(Opt::BINARY);
        let bytes = *input;
        let end = memchr::memchr2_iter(IAC, b'\r', bytes)
            .find_map(|at| match bytes[at] {
                IAC => Some(at),
                _ if !binary && bytes.get(at + 1) == Some(&0) => Some(at + 1),
                _ => None,
            })
            .unwrap_or(bytes.len());
        let (data, rest) = bytes.split_at(end);
        *input = rest;
        self.state = if !binary && data.ends_with(b"\r") { State::AfterCr } else { State::Data };
        data
    }

    fn answer(&mut self, verb: Verb, option: Opt) {
        let at = usize::from(option.0);
        let (answer, yes, no) = match verb {
            Verb::Will => {
                let acceptable = self.accepts(option, !self.server);
                (self.theirs[at].hear_yes(acceptable), Verb::Do, Verb::Dont)
            }
            Verb::Wont => (self.theirs[at].hear_no(), Verb::Do, Verb::Dont),
            Verb::Do => {
                let acceptable = self.accepts(option, self.server);
                (self.ours[at].hear_yes(acceptable), Verb::Will, Verb::Wont)
            }
            Verb::Dont => (self.ours[at].hear_no(), Verb::Will, Verb::Wont),
        };
        match answer {
            Some(true) => self.say(yes, option),
            Some(false) => self.say(no, option),
            None => {}
        }
    }

    /// Two ends that both echo would send one byte to and fro for ever (RFC 857 §5).
    fn accepts(&self, option: Opt, by_server: bool) -> bool {
        match option {
            Opt::BINARY | Opt::SUPPRESS_GO_AHEAD => true,
            Opt::ECHO => by_server,
            _ => false,
        }
    }

    fn say(&mut self, verb: Verb, option: Opt) {
        self.reply.extend([IAC, verb.code(), option.0]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(MAX_SUBNEGOTIATION - self.subnegotiation.len());
        self.subnegotiation.extend_from_slice(&bytes[..kept]);
        self.incomplete |= kept < bytes.len();
    }
}
