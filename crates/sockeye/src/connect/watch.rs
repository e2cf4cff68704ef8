//! What is waited for in what the peer says: a pattern, or a number of messages.

use regex::bytes::Regex;
use sockeye_wire::frame::Framing;

use crate::args;

/// So much of a stream without borders is looked at together, so that a pattern may lie across two
/// receives.
const WINDOW: usize = 64 * 1024;

/// What has to come before the conversation is done.
pub(super) struct Watch {
    pattern: Option<Regex>,
    seen: bool,
    /// Messages until it is done, if they are counted.
    left: Option<u64>,
    /// The stream's last bytes, where it has no borders.
    window: Option<Vec<u8>>,
}

impl Watch {
    pub(super) fn new(args: &args::Connect, borders: bool) -> Watch {
        let streams = !borders && matches!(args.talk.frame, Framing::Raw | Framing::Gap(_));
        Watch {
            pattern: args.expect.clone(),
            seen: false,
            left: args.count,
            window: streams.then(Vec::new),
        }
    }

    /// Whether nothing is waited for, so that messages need not be looked at.
    pub(super) fn is_idle(&self) -> bool {
        self.pattern.is_none() && self.left.is_none()
    }

    /// Looks at the next message; true when that was all that had to come.
    pub(super) fn takes(&mut self, message: &[u8]) -> bool {
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        if let (Some(pattern), false) = (&self.pattern, self.seen) {
            self.seen = match &mut self.window {
                None => pattern.is_match(message),
                Some(window) => {
                    window.extend_from_slice(message);
                    let seen = pattern.is_match(window);
                    let surplus = window.len().saturating_sub(WINDOW);
                    window.drain(..surplus);
                    seen
                }
            };
        }
        (self.pattern.is_some() && self.seen) || self.left == Some(0)
    }

    /// Says what is missing when nothing more comes.
    pub(super) fn missing(&self) -> Option<String> {
        if let (Some(pattern), false) = (&self.pattern, self.seen) {
            return Some(format!("--expect {:?} was never seen", pattern.as_str()));
        }
        match self.left {
            Some(left) if left > 0 && !(self.pattern.is_some() && self.seen) => {
                Some(format!("--count: {left} more messages were to come"))
            }
            _ => None,
        }
    }
}
