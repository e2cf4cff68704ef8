//! The names that states, flags, directions and calls have in a recording: those of RFC 9293 and of
//! the man pages.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sockeye_engine::probe::{self, Operation};
use sockeye_wire::tcp;

use crate::record;

/// Which way bytes flow, seen from the program that was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are those of the probe")]
pub enum Direction {
    Received,
    Sent,
}

/// Who began the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are those of the probe")]
pub enum Role {
    Server,
    Client,
}

/// What was asked of the kernel, by the name of the man page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are those of the probe")]
pub enum Op {
    Accept,
    Connect,
    Recv,
    Send,
    Sendfile,
    Shutdown,
    Close,
    /// No call: a deadline passed while the program waited for the record's direction.
    GaveUp,
}

/// What sets a segment apart from fresh data in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are those of the tracker")]
pub enum Mark {
    Retransmission,
    KeepAlive,
    WindowProbe,
    Gap,
}

/// Where the kernel stamps what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are those of the record")]
pub enum Point {
    Scheduled,
    Sent,
    Acked,
}

/// A state in RFC spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateName(pub tcp::State);

/// Control bits as a list of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagNames(pub tcp::Flags);

const STATES: [tcp::State; 11] = [
    tcp::State::Listen,
    tcp::State::SynSent,
    tcp::State::SynReceived,
    tcp::State::Established,
    tcp::State::FinWait1,
    tcp::State::FinWait2,
    tcp::State::CloseWait,
    tcp::State::Closing,
    tcp::State::LastAck,
    tcp::State::TimeWait,
    tcp::State::Closed,
];

/// Byte 13 of the header, from its lowest bit up (RFC 9293 §3.1).
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

impl From<probe::Direction> for Direction {
    fn from(direction: probe::Direction) -> Direction {
        match direction {
            probe::Direction::Received => Direction::Received,
            probe::Direction::Sent => Direction::Sent,
        }
    }
}

impl From<Direction> for probe::Direction {
    fn from(direction: Direction) -> probe::Direction {
        match direction {
            Direction::Received => probe::Direction::Received,
            Direction::Sent => probe::Direction::Sent,
        }
    }
}

impl From<probe::Role> for Role {
    fn from(role: probe::Role) -> Role {
        match role {
            probe::Role::Server => Role::Server,
            probe::Role::Client => Role::Client,
        }
    }
}

impl From<Role> for probe::Role {
    fn from(role: Role) -> probe::Role {
        match role {
            Role::Server => probe::Role::Server,
            Role::Client => probe::Role::Client,
        }
    }
}

impl From<record::Point> for Point {
    fn from(point: record::Point) -> Point {
        match point {
            record::Point::Scheduled => Point::Scheduled,
            record::Point::Sent => Point::Sent,
            record::Point::Acked => Point::Acked,
        }
    }
}

impl From<Point> for record::Point {
    fn from(point: Point) -> record::Point {
        match point {
            Point::Scheduled => record::Point::Scheduled,
            Point::Sent => record::Point::Sent,
            Point::Acked => record::Point::Acked,
        }
    }
}

impl Op {
    /// The name, and the direction where there is one.
    pub(super) fn of(operation: Operation) -> (Op, Option<Direction>) {
        let op = match operation {
            Operation::Accept => Op::Accept,
            Operation::Connect => Op::Connect,
            Operation::Recv => Op::Recv,
            Operation::Send => Op::Send,
            Operation::SendFile => Op::Sendfile,
            Operation::ShutdownWrite => Op::Shutdown,
            Operation::Close => Op::Close,
            Operation::GaveUp(direction) => return (Op::GaveUp, Some(direction.into())),
        };
        let direction = match op {
            Op::Recv => Some(Direction::Received),
            Op::Send | Op::Sendfile => Some(Direction::Sent),
            _ => None,
        };
        (op, direction)
    }

    /// `None` for a wait that ended without a direction.
    pub(super) fn operation(self, direction: Option<Direction>) -> Option<Operation> {
        Some(match self {
            Op::Accept => Operation::Accept,
            Op::Connect => Operation::Connect,
            Op::Recv => Operation::Recv,
            Op::Send => Operation::Send,
            Op::Sendfile => Operation::SendFile,
            Op::Shutdown => Operation::ShutdownWrite,
            Op::Close => Operation::Close,
            Op::GaveUp => Operation::GaveUp(direction?.into()),
        })
    }
}

impl Mark {
    pub(super) fn of(mark: tcp::Mark) -> Option<Mark> {
        match mark {
            tcp::Mark::None => None,
            tcp::Mark::Retransmission => Some(Mark::Retransmission),
            tcp::Mark::KeepAlive => Some(Mark::KeepAlive),
            tcp::Mark::WindowProbe => Some(Mark::WindowProbe),
            tcp::Mark::Gap => Some(Mark::Gap),
        }
    }
}

impl Serialize for StateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StateName, D::Error> {
        let name = String::deserialize(deserializer)?;
        let state = STATES.into_iter().find(|state| state.name() == name);
        state.map(StateName).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&name), &"a state of RFC 9293")
        })
    }
}

impl Serialize for FlagNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bits = self.0.bits();
        let set = FLAGS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        serializer.collect_seq(set.map(|(_, name)| name))
    }
}

impl<'de> Deserialize<'de> for FlagNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FlagNames, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut bits = 0;
        for name in &names {
            let bit = FLAGS.iter().position(|known| known == name).ok_or_else(|| {
                de::Error::invalid_value(de::Unexpected::Str(name), &"a flag of RFC 9293")
            })?;
            bits |= 1_u8 << bit;
        }
        Ok(FlagNames(tcp::Flags::from_bits(bits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_was_written() {
        for state in STATES {
            let name = serde_json::to_string(&StateName(state)).unwrap();
            assert_eq!(serde_json::from_str::<StateName>(&name).unwrap(), StateName(state));
        }
        for bits in 0..=u8::MAX {
            let flags = FlagNames(tcp::Flags::from_bits(bits));
            let names = serde_json::to_string(&flags).unwrap();
            assert_eq!(serde_json::from_str::<FlagNames>(&names).unwrap(), flags);
        }
        let syn_ack = FlagNames(tcp::Flags::SYN | tcp::Flags::ACK);
        assert_eq!(serde_json::to_string(&syn_ack).unwrap(), r#"["SYN","ACK"]"#);
        assert!(serde_json::from_str::<StateName>(r#""syn-sent""#).is_err());
        assert!(serde_json::from_str::<FlagNames>(r#"["URGENT"]"#).is_err());
    }

    #[test]
    fn every_call_has_a_name_and_its_direction() {
        use probe::Direction::{Received, Sent};
        for operation in [
            Operation::Accept,
            Operation::Connect,
            Operation::Recv,
            Operation::Send,
            Operation::SendFile,
            Operation::ShutdownWrite,
            Operation::Close,
            Operation::GaveUp(Received),
            Operation::GaveUp(Sent),
        ] {
            let (op, direction) = Op::of(operation);
            assert_eq!(op.operation(direction), Some(operation));
        }
        assert_eq!(Op::GaveUp.operation(None), None);
    }
}
