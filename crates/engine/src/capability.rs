//! What a driver can do, what it needs and what it costs, for those who choose one.

use std::io;

use crate::driver::DriverKind;
use crate::reactor::Reactor;

/// How a driver differs from others. Services need not care; whoever chooses a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// One thread holds many connections; otherwise each has a thread.
    pub multiplexes: bool,
    /// The thread sleeps while nothing is to be done; otherwise it uses a whole core.
    pub sleeps: bool,
    /// What the kernel tells the thread.
    pub told: Told,
    /// How the cost of one wait grows with the connections that are idle.
    pub growth: Growth,
    /// It reaches other programs; otherwise only sockets of its own simulation.
    pub network: bool,
}

/// What the kernel tells a thread that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing in advance: the call itself says.
    Nothing,
    /// What is ready, for as long as it is.
    States,
    /// What has become ready since it was told last.
    Changes,
    /// What a call that the kernel made has brought.
    Results,
}

/// How the cost of one wait grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Not with idle connections.
    Flat,
    /// With the number of connections that are waited for.
    Connections,
    /// With the highest descriptor that is waited for.
    HighestDescriptor,
}

impl DriverKind {
    /// What it can do.
    ///
    /// ```
    /// use sockeye_engine::{DriverKind, Growth, Told};
    ///
    /// let poll = DriverKind::Poll.capabilities();
    /// assert_eq!((poll.told, poll.growth), (Told::States, Growth::Connections));
    /// ```
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        let readiness = Capabilities {
            multiplexes: true,
            sleeps: true,
            told: Told::States,
            growth: Growth::Flat,
            network: true,
        };
        match self {
            DriverKind::Blocking => {
                Capabilities { multiplexes: false, told: Told::Nothing, ..readiness }
            }
            DriverKind::Busy => Capabilities {
                sleeps: false,
                told: Told::Nothing,
                growth: Growth::Connections,
                ..readiness
            },
            DriverKind::Select => Capabilities { growth: Growth::HighestDescriptor, ..readiness },
            DriverKind::Poll => Capabilities { growth: Growth::Connections, ..readiness },
            DriverKind::Epoll => readiness,
            DriverKind::EpollEdge => Capabilities { told: Told::Changes, ..readiness },
            DriverKind::Uring => Capabilities { told: Told::Results, ..readiness },
            DriverKind::Sim => Capabilities { told: Told::Results, network: false, ..readiness },
        }
    }

    /// Whether one thread can hold many connections.
    #[must_use]
    pub const fn multiplexes(self) -> bool {
        self.capabilities().multiplexes
    }

    /// Whether it can be had here, by making one and dropping it.
    ///
    /// # Errors
    ///
    /// What the kernel lacks or does not permit, and the way out.
    pub fn available(self) -> io::Result<()> {
        Reactor::new(self, None).map(drop)
    }
}
