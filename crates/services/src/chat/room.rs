//! The room: names, lines and commands, as a state machine without socket, clock or thread.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sockeye_wire::escape::{Escaped, width};

use super::pace::{Bucket, Pace};
use super::{ChatOptions, encoding};
use crate::broker::{AsHub, Hub, MemberId};

/// Columns a name may take.
const NAME: usize = 24;

/// Names shown in answer to `/who`; more are counted.
const SHOWN: usize = 100;

const COMMANDS: &str = "/who lists all, /name NEW renames you, /quit leaves";

/// Everybody in it, and what waits for each.
#[derive(Debug)]
pub(super) struct Room {
    hub: Hub,
    options: ChatOptions,
    people: BTreeMap<MemberId, Person>,
    /// As they are compared: in lower case.
    taken: HashSet<String>,
    /// Those who were dropped and whose place is not free yet.
    dropped: BTreeMap<MemberId, Why>,
}

#[derive(Debug)]
struct Person {
    /// None until the first line.
    name: Option<String>,
    bucket: Bucket,
}

/// Whether somebody stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Stays,
    Leaves,
}

/// Why somebody is no longer there, as the others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Left,
    TooSlow,
    TooFast,
    LineTooLong,
    Silent,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Left => "left",
            Why::TooSlow => "was dropped: reads too slowly",
            Why::TooFast => "was dropped: too many lines",
            Why::LineTooLong => "was dropped: a line too long",
            Why::Silent => "was dropped: silent for too long",
        })
    }
}

impl AsHub for Room {
    fn hub(&mut self) -> &mut Hub {
        &mut self.hub
    }
}

impl Room {
    pub(super) fn new(options: ChatOptions) -> Room {
        let hub = Hub::new(options.limits);
        Room {
            hub,
            options,
            people: BTreeMap::new(),
            taken: HashSet::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// Somebody without a name yet; None when the room is full.
    pub(super) fn join(&mut self, now: Duration) -> Option<MemberId> {
        let id = self.hub.join()?;
        let bucket = Bucket::new(self.options.pace, now);
        self.people.insert(id, Person { name: None, bucket });
        self.tell(id, format_args!("your name?"));
        Some(id)
    }

    /// Whether somebody has said his name.
    pub(super) fn is_named(&self, id: MemberId) -> bool {
        self.people.get(&id).is_some_and(|person| person.name.is_some())
    }

    /// A line that somebody sent, without its end.
    pub(super) fn line(&mut self, id: MemberId, line: &str, now: Duration) -> Line {
        let Some(person) = self.people.get_mut(&id) else {
            return Line::Leaves;
        };
        match person.bucket.line(now) {
            Pace::Fine => {}
            Pace::Ignore => return Line::Stays,
            Pace::Warn => {
                let most = self.options.pace.per_second;
                self.tell(
                    id,
                    format_args!(
                        "too fast: {most} lines a second; lines are being left out, and you are \
                         dropped if you go on"
                    ),
                );
                return Line::Stays;
            }
            Pace::Drop => {
                self.drop_person(id, Why::TooFast);
                return Line::Leaves;
            }
        }
        let text = encoding::plain(line);
        let text = text.trim_end();
        let Some(name) = self.people.get(&id).and_then(|person| person.name.clone()) else {
            return self.first_line(id, text);
        };
        let (command, rest) = match text.split_once(' ') {
            Some((command, rest)) => (command, rest.trim()),
            None => (text, ""),
        };
        match command {
            "" => {}
            "/who" => self.who(id),
            "/name" => self.rename(id, &name, rest),
            "/quit" => return Line::Leaves,
            _ if text.starts_with("//") => self.say(id, &name, &text[1..]),
            _ if text.starts_with('/') => {
                self.tell(id, format_args!("no such command; {COMMANDS}, // begins a line with /"));
            }
            _ => self.say(id, &name, text),
        }
        Line::Stays
    }

    /// Takes a person out, and tells the others if they knew him. What waits for him is still sent
    /// if he leaves by himself.
    pub(super) fn end(&mut self, id: MemberId, why: Why) {
        if why != Why::Left {
            return self.drop_person(id, why);
        }
        self.hub.close(id);
        if let Some(line) = self.forget(id, why) {
            self.spread(None, line);
        }
    }

    /// Why somebody was dropped, if he was.
    pub(super) fn why_dropped(&self, id: MemberId) -> Option<Why> {
        self.dropped.get(&id).copied()
    }

    /// His place is free, whatever waited for him.
    pub(super) fn leave(&mut self, id: MemberId) {
        self.dropped.remove(&id);
        self.hub.leave(id);
        if let Some(line) = self.forget(id, Why::Left) {
            self.spread(None, line);
        }
    }

    fn first_line(&mut self, id: MemberId, text: &str) -> Line {
        if text == "/quit" {
            return Line::Leaves;
        }
        if let Some(name) = self.take_name(id, text.trim(), None) {
            let here = self.taken.len();
            self.tell(id, format_args!("you are {name}, one of {here} here; {COMMANDS}"));
            self.announce(Some(id), format_args!("{name} joined"));
        }
        Line::Stays
    }

    fn rename(&mut self, id: MemberId, old: &str, wanted: &str) {
        if let Some(name) = self.take_name(id, wanted, Some(old)) {
            self.announce(None, format_args!("{old} is now {name}"));
        }
    }

    /// The name, if it may be had; otherwise the person is told why not.
    fn take_name(&mut self, id: MemberId, wanted: &str, old: Option<&str>) -> Option<String> {
        let clean = Escaped(wanted.as_bytes()).to_string() == wanted;
        if !clean
            || !(1..=NAME).contains(&width(wanted))
            || wanted.starts_with(['*', '/'])
            || wanted.contains(|letter: char| letter.is_whitespace() || letter == ':')
        {
            self.tell(
                id,
                format_args!(
                    "a name has 1 to {NAME} letters or signs, without spaces or colons, and begins \
                     with neither * nor /; your name?"
                ),
            );
            return None;
        }
        let key = wanted.to_lowercase();
        let own = old.is_some_and(|old| old.to_lowercase() == key);
        if !own && self.taken.contains(&key) {
            self.tell(id, format_args!("{wanted} is taken; another name?"));
            return None;
        }
        if let Some(old) = old {
            self.taken.remove(&old.to_lowercase());
        }
        self.taken.insert(key);
        self.people.get_mut(&id)?.name = Some(wanted.to_owned());
        Some(wanted.to_owned())
    }

    fn who(&mut self, id: MemberId) {
        let mut shown = String::new();
        let names = self.people.values().filter_map(|person| person.name.as_ref());
        for name in names.take(SHOWN) {
            if !shown.is_empty() {
                shown.push_str(", ");
            }
            shown.push_str(name);
        }
        let (all, more) = (self.taken.len(), self.taken.len().saturating_sub(SHOWN));
        match more {
            0 => self.tell(id, format_args!("{all} here: {shown}")),
            more => self.tell(id, format_args!("{all} here: {shown} and {more} more")),
        }
    }

    fn say(&mut self, id: MemberId, name: &str, text: &str) {
        let line = encoding::line(format_args!("{name}: {text}"), self.options.encoding);
        self.spread(Some(id), line);
    }

    /// A line of the room itself, for one person.
    fn tell(&mut self, id: MemberId, text: fmt::Arguments<'_>) {
        let line = encoding::line(format_args!("* {text}"), self.options.encoding);
        if !self.hub.send(id, line) {
            self.drop_person(id, Why::TooSlow);
        }
    }

    /// A line of the room itself, for all who have a name.
    fn announce(&mut self, but: Option<MemberId>, text: fmt::Arguments<'_>) {
        let line = encoding::line(format_args!("* {text}"), self.options.encoding);
        self.spread(but, line);
    }

    /// Those who have no room for a line are dropped, which the others hear; that may be a line too
    /// many for some of them.
    fn spread(&mut self, but: Option<MemberId>, line: Bytes) {
        let mut slow = self.hand_out(but, &line);
        while let Some(id) = slow.pop() {
            if let Some(line) = self.expel(id, Why::TooSlow) {
                slow.extend(self.hand_out(None, &line));
            }
        }
    }

    /// Those who have no room for it.
    fn hand_out(&mut self, but: Option<MemberId>, line: &Bytes) -> Vec<MemberId> {
        let mut slow = Vec::new();
        let people = &self.people;
        let named = |id| people.get(&id).is_some_and(|person| person.name.is_some());
        self.hub.send_to(|id| Some(id) != but && named(id), line, |id| slow.push(id));
        slow
    }

    fn drop_person(&mut self, id: MemberId, why: Why) {
        if let Some(line) = self.expel(id, why) {
            self.spread(None, line);
        }
    }

    /// Leaves a person nothing but a last line: what the others are to be told.
    fn expel(&mut self, id: MemberId, why: Why) -> Option<Bytes> {
        let last = encoding::line(format_args!("* you {}", why.to_you()), self.options.encoding);
        self.hub.expel(id, last);
        self.dropped.entry(id).or_insert(why);
        self.forget(id, why)
    }

    /// Takes a person's name: what the others are to be told.
    fn forget(&mut self, id: MemberId, why: Why) -> Option<Bytes> {
        let name = self.people.remove(&id)?.name?;
        self.taken.remove(&name.to_lowercase());
        Some(encoding::line(format_args!("* {name} {why}"), self.options.encoding))
    }
}

impl Why {
    /// As the person himself is told.
    fn to_you(self) -> &'static str {
        match self {
            Why::Left => "left",
            Why::TooSlow => "were dropped: you read too slowly",
            Why::TooFast => "were dropped: too many lines",
            Why::LineTooLong => "were dropped: your line is too long",
            Why::Silent => "were dropped: silent for too long",
        }
    }
}

#[cfg(test)]
mod tests;
