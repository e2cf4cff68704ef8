//! What the kernel says about our own connections, without any privilege.
//!
//! Each question has its moment: the peer's SYN when a connection was accepted (`TCP_SAVED_SYN`), the
//! counters just before it is closed (`TCP_INFO`; of datagrams `SO_MEMINFO`), and what became of it
//! afterwards (`NETLINK_SOCK_DIAG`). No packet is looked at here.

mod aftermath;
mod drops;
mod ends;
mod facts;
mod option;
mod queues;
mod saved_syn;
mod sockets;
mod stamps;

pub use aftermath::{DiagError, SockDiag};
pub use drops::dropped_datagrams;
pub use ends::{Ends, LetGo};
pub use facts::{kernel_facts, parse_tcp_info, uncount_syn};
pub use queues::Queues;
pub use saved_syn::{save_syn, saved_isn};
pub use sockets::{SocketList, SocketSeen};
pub use stamps::{ask_stamps, pause_stamps, take_stamps};

pub(crate) use option::{get_option, length_of, set_option};

use sockeye_wire::tcp::State;

/// The state behind a number of `include/net/tcp_states.h`.
///
/// `None` for numbers that are no state of RFC 9293 §3.3.2.
#[must_use]
pub fn state_of(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        // 12 is TCP_NEW_SYN_RECV: the same state, held in the kernel's smaller structure.
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        _ => return None,
    })
}
