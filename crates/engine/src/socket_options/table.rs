//! The options by name: which kinds each one is for, how its value is written, and what it is.

use std::fmt;

use super::value::{self, Value};
use super::{Purpose, SocketOptions};
use crate::endpoint::{EndpointKind, nearest};

/// What is known of an option, for a page of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHelp {
    /// As it is written.
    pub name: &'static str,
    /// What stands behind `=`; in brackets where it may be left out.
    pub value: &'static str,
    /// The kinds of sockets it is for.
    pub kinds: &'static [EndpointKind],
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

/// Every option, in the order they are shown.
pub fn option_help() -> impl Iterator<Item = OptionHelp> {
    ROWS.iter().map(|row| row.help)
}

/// Why an option is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// Its name is wrong here.
    Name { cause: String, way_out: String },
    /// Its value is.
    Value { cause: String, way_out: String },
}

impl SocketOptions {
    /// Sets an option by its name.
    pub(crate) fn set(
        &mut self,
        kind: EndpointKind,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), OptionError> {
        let Some(row) = ROWS.iter().find(|row| row.help.name == name) else {
            let near = nearest(name, ROWS.iter().map(|row| row.help.name));
            let fit = ROWS.iter().filter(|row| row.help.kinds.contains(&kind));
            let fit: Vec<&str> = fit.map(|row| row.help.name).collect();
            let way_out = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("{kind} sockets have {}", fit.join(", ")),
            };
            return Err(OptionError::Name { cause: format!("{name:?} is no option"), way_out });
        };
        if !row.help.kinds.contains(&kind) {
            let kinds: Vec<&str> = row.help.kinds.iter().map(|kind| kind.scheme()).collect();
            return Err(OptionError::Name {
                cause: format!("{name} has no meaning for {kind} sockets"),
                way_out: format!("leave it out; it is for {}", kinds.join(", ")),
            });
        }
        (row.set)(self, kind, value).map_err(|cause| OptionError::Value {
            cause,
            way_out: match row.help.value {
                "" => format!("write {name} alone, or {name}=off"),
                form if form.starts_with('[') => format!("write {name}{form}"),
                form => format!("write {name}={form}"),
            },
        })
    }

    /// An option with its value, as it is written; its name alone where it is one of ours by default.
    pub(crate) fn shown(&self, name: &str) -> String {
        let row = ROWS.iter().find(|row| row.help.name == name);
        let values = row.map(|row| (row.show)(self)).unwrap_or_default();
        format!("{name}{}", values.join(""))
    }

    /// The first option that is set and has no meaning for this purpose.
    pub(crate) fn unfit(&self, kind: EndpointKind, purpose: Purpose) -> Option<&'static str> {
        let unfit = |row: &&Row| {
            row.only.is_some_and(|only| only != purpose) && !(row.show)(self).is_empty()
        };
        let found = ROWS.iter().find(unfit)?.help.name;
        // A Unix datagram socket that connects may have a name of its own, and so a file.
        let named = kind == UnixDatagram && self.bind.is_some();
        (!(named && matches!(found, "mode" | "owner"))).then_some(found)
    }
}

impl fmt::Display for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = '?';
        for row in ROWS {
            for value in (row.show)(self) {
                write!(f, "{before}{}{value}", row.help.name)?;
                before = '&';
            }
        }
        Ok(())
    }
}

struct Row {
    help: OptionHelp,
    /// Where it has a meaning for one purpose only.
    only: Option<Purpose>,
    set: fn(&mut SocketOptions, EndpointKind, Option<&str>) -> Result<(), String>,
    /// What stands behind the name, with `=`, for each time it is given.
    show: fn(&SocketOptions) -> Vec<String>,
}

use EndpointKind::{Tcp, Udp, Unix, UnixDatagram, UnixSeqpacket};

const IP: &[EndpointKind] = &[Tcp, Udp];
const UNIX: &[EndpointKind] = &[Unix, UnixDatagram, UnixSeqpacket];

/// A row whose field is an `Option` of something that is a [`Value`].
macro_rules! row {
    ($name:literal, $value:literal, $kinds:expr, $only:expr, $field:ident: $type:ty, $meaning:literal) => {
        Row {
            help: OptionHelp { name: $name, value: $value, kinds: $kinds, meaning: $meaning },
            only: $only,
            set: |options, kind, value| {
                options.$field = Some(<$type as Value>::read(value, kind)?.into());
                Ok(())
            },
            show: |options| {
                let shown = |value: &_| <$type as Value>::show(value);
                options.$field.as_ref().map(shown).into_iter().collect()
            },
        }
    };
}

const CONNECT: Option<Purpose> = Some(Purpose::Connect);
const LISTEN: Option<Purpose> = Some(Purpose::Listen);

const ROWS: &[Row] = &[
    row!("nodelay", "", &[Tcp], None, nodelay: value::Switch, "small segments leave at once"),
    row!("keepalive", "[=IDLE[,INTERVAL,COUNT]]", &[Tcp], None, keepalive: value::Keep, "ask a silent peer whether it is still there"),
    row!("rcvbuf", "SIZE", IP, None, receive_buffer: value::Size, "room to receive into"),
    row!("sndbuf", "SIZE", &[Tcp, Udp, Unix, UnixDatagram, UnixSeqpacket], None, send_buffer: value::Size, "what may wait to be sent"),
    row!("reuseaddr", "", IP, None, reuse_address: value::Switch, "bind although old connections linger there"),
    row!("reuseport", "", IP, None, reuse_port: value::Switch, "share the port with other sockets of the same user"),
    row!("linger", "SECONDS", &[Tcp], None, linger: value::Seconds, "how long close waits; 0 resets"),
    row!("broadcast", "", &[Udp], None, broadcast: value::Switch, "allow broadcast addresses"),
    row!("ttl", "1..255", IP, None, ttl: value::Hops, "routers a packet may pass"),
    row!("tos", "0..255", IP, None, tos: value::Byte, "differentiated services and ECN"),
    row!("mark", "NUMBER", IP, None, mark: value::Number, "for rules of routing and firewall"),
    row!("interface", "NAME", IP, None, interface: value::Interface, "the interface to use, or of the group"),
    row!("bind", "ADDRESS[:PORT]", &[Tcp, Udp, UnixDatagram], CONNECT, bind: value::Local, "our own end"),
    row!("mss", "88..32767", &[Tcp], None, mss: value::Mss, "the longest segment"),
    row!("congestion", "NAME", &[Tcp], None, congestion: value::Word, "the congestion control"),
    row!("user-timeout", "TIME", &[Tcp], None, user_timeout: value::Millis, "how long data may stay unacknowledged"),
    row!("backlog", "COUNT", &[Tcp, Unix, UnixSeqpacket], LISTEN, backlog: value::Number, "connections that may wait for accept"),
    row!("connect-timeout", "TIME", &[Tcp, Unix, UnixSeqpacket], CONNECT, connect_timeout: value::Patience, "how long connecting may take"),
    Row {
        help: OptionHelp {
            name: "join",
            value: "GROUP",
            kinds: &[Udp],
            meaning: "a multicast group to receive from",
        },
        only: None,
        set: |options, _, value| {
            let group = value::group(value)?;
            if options.join.contains(&group) {
                return Err(format!("{group} is given twice"));
            }
            options.join.push(group);
            Ok(())
        },
        show: |options| options.join.iter().map(|group| format!("={group}")).collect(),
    },
    row!("loop", "", &[Udp], None, multicast_loop: value::Switch, "own datagrams to a group come back"),
    row!("mode", "OCTAL", UNIX, LISTEN, mode: value::Mode, "who may use the socket's file"),
    row!("owner", "USER[:GROUP]", UNIX, LISTEN, owner: value::Whose, "whose the socket's file is"),
];
