//! Talking to all who send datagrams to one socket.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::{Address, Datagram, UnixAddress, elapsed, sleep};
use sockeye_services::guard::{StormGuard, StormLimits};

use super::door::shown_process;
use super::hall::{Hall, Place};
use super::service::say_truncated;
use crate::output::say;
use crate::talk::{Direction, Flow};
use sockeye_engine::{Either, first};

/// Senders known at once; a new one takes the place of the one that came first.
const SENDERS: usize = 1024;

/// How long silence lasts that ends it with `--once`.
const SILENCE: Duration = Duration::from_secs(1);

/// Until the guard is asked again.
const PAUSE: Duration = Duration::from_millis(5);

/// A socket of datagrams, and what may be sent from it.
pub(super) struct Desk {
    socket: Datagram,
    guard: RefCell<StormGuard>,
    local: String,
}

impl Desk {
    pub(super) fn socket(&self) -> &Datagram {
        &self.socket
    }

    /// Sends one datagram of the input, no sooner than the guard allows; false if that failed.
    pub(super) async fn send(&self, message: &[u8], to: &Address) -> bool {
        while !self.guard.borrow_mut().allows(elapsed(), None, message, (1, message.len())) {
            sleep(PAUSE).await;
        }
        let sent = self.socket.send_to(message, to).await;
        if let Err(error) = &sent {
            let local = &self.local;
            match error.kind() {
                io::ErrorKind::ConnectionRefused => say(format_args!(
                    "sockeye: {local}: nobody is at {to} any more (port unreachable)"
                )),
                _ => say(format_args!(
                    "sockeye: {local}: a datagram of {} B was not sent: {error}",
                    message.len()
                )),
            }
        }
        sent.is_ok()
    }
}

/// Shows what comes, until the thread is asked to stop or, with `--once`, until a silence after the
/// end of the input.
pub(super) async fn with(hall: &Rc<Hall>, socket: Datagram, local: &str) -> anyhow::Result<()> {
    let args = &hall.door.args;
    let guard = RefCell::new(StormGuard::new(StormLimits::default()));
    let desk = Rc::new(Desk { socket, guard, local: local.to_owned() });
    let mut senders: HashMap<Address, (Place, Flow)> = HashMap::new();
    loop {
        let over = async {
            if !args.once || senders.is_empty() {
                std::future::pending::<()>().await;
            }
            hall.input_over().await;
            sleep(args.idle_timeout.unwrap_or(SILENCE)).await;
        };
        let received = match first(desk.socket.recv_idle(), over).await {
            Either::Other(()) => return Ok(()),
            Either::One(Ok(None)) => return Ok(()),
            Either::One(Ok(Some(received))) => received,
            Either::One(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                say(format_args!("sockeye: {local}: {error}"));
                continue;
            }
            Either::One(Err(error)) => return Err(error.into()),
        };
        let from = received.from.clone().unwrap_or(Address::Unix(UnixAddress::Unnamed));
        let other = args.once && !senders.is_empty() && !senders.contains_key(&from);
        if other || !hall.door.access.lets_in(Some(&from)) {
            hall.door.remark(format_args!("{from} turned away from {local}"));
            continue;
        }
        let peer = match (&from, received.ancillary.credentials) {
            (Address::Unix(UnixAddress::Unnamed), Some(process)) => {
                shown_process(process.pid, process.uid, process.gid)
            }
            (Address::Unix(_), Some(process)) => {
                format!("{from} {}", shown_process(process.pid, process.uid, process.gid))
            }
            _ => from.to_string(),
        };
        if received.truncated {
            say_truncated(local, Some(&from), received.len);
        }
        let (_, flow) = match senders.entry(from.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                hall.door.remark(format_args!("{peer} sends to {local}"));
                let place = hall.meet(&desk, &from, &peer);
                new.insert((place, Flow::new(&args.talk, &peer, Direction::In)))
            }
        };
        flow.mark_datagram(&desk.socket, &received.bytes);
        if let Err(error) = hall.printer.datagram(flow, &received.bytes).await {
            if crate::talk::nobody_reads(&error) || error.is::<io::Error>() {
                return Err(error);
            }
            say(format_args!("sockeye: {peer}: --frame {}: {error}", args.talk.frame));
        }
        if senders.len() > SENDERS {
            let oldest = senders.iter().min_by_key(|(_, (place, _))| place.number);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                senders.remove(&oldest);
            }
        }
    }
}
