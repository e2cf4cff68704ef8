//! Options, and the Q method of agreeing on them (RFC 1143 §7).

use std::fmt;

/// What is said about an option (RFC 854, "Telnet Command Structure").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// The receiver shall perform the option, or may.
    Do,
    /// The receiver shall not perform the option.
    Dont,
    /// The sender wants to perform the option, or does.
    Will,
    /// The sender does not perform the option.
    Wont,
}

impl Verb {
    pub(super) fn code(self) -> u8 {
        match self {
            Verb::Will => 251,
            Verb::Wont => 252,
            Verb::Do => 253,
            Verb::Dont => 254,
        }
    }

    pub(super) fn of(code: u8) -> Option<Verb> {
        [Verb::Will, Verb::Wont, Verb::Do, Verb::Dont].into_iter().find(|verb| verb.code() == code)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verb::Do => "DO",
            Verb::Dont => "DONT",
            Verb::Will => "WILL",
            Verb::Wont => "WONT",
        })
    }
}

/// An option by its number (IANA, "Telnet Options").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opt(pub u8);

impl Opt {
    /// Eight bits of data, and no end of line in them (RFC 856).
    pub const BINARY: Opt = Opt(0);
    /// Whoever performs it sends back what it receives (RFC 857).
    pub const ECHO: Opt = Opt(1);
    /// No GO AHEAD is sent (RFC 858).
    pub const SUPPRESS_GO_AHEAD: Opt = Opt(3);
}

impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "BINARY",
            1 => "ECHO",
            3 => "SUPPRESS-GO-AHEAD",
            5 => "STATUS",
            6 => "TIMING-MARK",
            24 => "TERMINAL-TYPE",
            25 => "END-OF-RECORD",
            31 => "NAWS",
            32 => "TERMINAL-SPEED",
            33 => "TOGGLE-FLOW-CONTROL",
            34 => "LINEMODE",
            35 => "X-DISPLAY-LOCATION",
            36 => "ENVIRON",
            37 => "AUTHENTICATION",
            38 => "ENCRYPT",
            39 => "NEW-ENVIRON",
            other => return write!(f, "option {other}"),
        };
        f.write_str(name)
    }
}

/// One side of one option: whether it is performed, and what has been asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Agreed {
    #[default]
    No,
    Yes,
    /// Asked to stop.
    WantNo,
    /// Asked to stop, and to begin again once that is confirmed.
    WantNoOpposite,
    /// Asked to begin.
    WantYes,
    /// Asked to begin, and to stop again once that is confirmed.
    WantYesOpposite,
}

impl Agreed {
    /// The peer says yes (WILL of its own, DO of ours). What to answer: `Some(true)` for yes.
    pub(super) fn hear_yes(&mut self, acceptable: bool) -> Option<bool> {
        let (next, answer) = match self {
            Agreed::No if acceptable => (Agreed::Yes, Some(true)),
            Agreed::No => (Agreed::No, Some(false)),
            Agreed::Yes | Agreed::WantNoOpposite | Agreed::WantYes => (Agreed::Yes, None),
            // A no that is answered by yes is the peer's mistake; it ends in no.
            Agreed::WantNo => (Agreed::No, None),
            Agreed::WantYesOpposite => (Agreed::WantNo, Some(false)),
        };
        *self = next;
        answer
    }

    /// The peer says no, which must be accepted.
    pub(super) fn hear_no(&mut self) -> Option<bool> {
        let (next, answer) = match self {
            Agreed::Yes => (Agreed::No, Some(false)),
            Agreed::WantNoOpposite => (Agreed::WantYes, Some(true)),
            Agreed::No | Agreed::WantNo | Agreed::WantYes | Agreed::WantYesOpposite => {
                (Agreed::No, None)
            }
        };
        *self = next;
        answer
    }

    /// We want it, or don't. What to say now, if anything: the rest waits for the answer that is
    /// on its way.
    pub(super) fn want(&mut self, wanted: bool) -> Option<bool> {
        let (next, said) = match (*self, wanted) {
            (Agreed::No, true) => (Agreed::WantYes, Some(true)),
            (Agreed::Yes, false) => (Agreed::WantNo, Some(false)),
            (Agreed::WantNo | Agreed::WantNoOpposite, true) => (Agreed::WantNoOpposite, None),
            (Agreed::WantNo | Agreed::WantNoOpposite, false) => (Agreed::WantNo, None),
            (Agreed::WantYes | Agreed::WantYesOpposite, true) => (Agreed::WantYes, None),
            (Agreed::WantYes | Agreed::WantYesOpposite, false) => (Agreed::WantYesOpposite, None),
            (settled, _) => (settled, None),
        };
        *self = next;
        said
    }
}
