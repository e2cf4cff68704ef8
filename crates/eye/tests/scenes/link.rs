//! A link that loses, doubles and reorders the packets a plan names, between two ends of one kernel.
//!
//! A TUN device is all there is: what is sent to the host at its other end, 10.7.0.2, comes back with
//! source and destination exchanged, as if that host had sent it to us. So a client that connects there
//! reaches a server here, both with the kernel's own TCP, and neither checksum changes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, eventfd, poll};
use sockeye_wire::packet::{self, Segment};

use crate::place::SERVER;

/// What becomes of which packets; all others pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Data from the client is held back until so many segments of it are here.
    pub(crate) gather: usize,
    pub(crate) faults: &'static [Fault],
    /// Settings of the network it is part of (ip-sysctl).
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

/// One packet, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// Which one of these that were sent, from 1; what was sent again counts again.
    pub(crate) nth: usize,
    pub(crate) fate: Fate,
}

/// A kind of packets, each told by the first of these it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The client's.
    Syn,
    /// The client's, with or without data.
    Fin,
    /// The client's.
    Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Doubled,
    /// Behind the next one that passes.
    Late,
}

/// A link that works until it is dropped.
#[derive(Debug)]
pub(crate) struct Faulty {
    over: Arc<AtomicBool>,
    wake: Arc<rustix::fd::OwnedFd>,
    forwarder: Option<JoinHandle<()>>,
}

impl Faulty {
    /// Makes the device, called `faulty`, in this thread's network.
    pub(crate) fn start(plan: Plan) -> Faulty {
        let device = device();
        let over = Arc::new(AtomicBool::new(false));
        let flags = rustix::event::EventfdFlags::CLOEXEC;
        let wake = Arc::new(eventfd(0, flags).expect("an eventfd"));
        let forwarder = Forwarder {
            device,
            plan,
            counts: [0; 3],
            gathered: Vec::new(),
            gathering: plan.gather > 0,
            late: Vec::new(),
            over: Arc::clone(&over),
            wake: Arc::clone(&wake),
        };
        let forwarder = Some(thread::spawn(|| forwarder.run()));
        Faulty { over, wake, forwarder }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        if let Some(forwarder) = self.forwarder.take() {
            let _ = forwarder.join();
        }
    }
}

struct Forwarder {
    device: File,
    plan: Plan,
    /// How many of each kind came.
    counts: [usize; 3],
    gathered: Vec<Vec<u8>>,
    gathering: bool,
    late: Vec<Vec<u8>>,
    over: Arc<AtomicBool>,
    wake: Arc<rustix::fd::OwnedFd>,
}

impl Forwarder {
    fn run(mut self) {
        let mut room = vec![0; 1 << 16];
        while !self.over.load(Ordering::Acquire) {
            let mut fds =
                [PollFd::new(&self.device, PollFlags::IN), PollFd::new(&*self.wake, PollFlags::IN)];
            let _ = poll(&mut fds, None);
            if !fds[0].revents().contains(PollFlags::IN) {
                continue;
            }
            let count = self.device.read(&mut room).expect("a packet");
            self.packet(room[..count].to_vec());
        }
    }

    fn packet(&mut self, mut packet: Vec<u8>) {
        let Ok(segment) = packet::parse(packet::Link::Ip, &packet, packet.len()) else { return };
        // Source and destination (RFC 791 §3.1).
        let (source, destination) = packet[12..20].split_at_mut(4);
        source.swap_with_slice(destination);
        let what = what(&segment);
        if self.gathering && what == Some(What::Data) {
            self.gathered.push(packet);
            if self.gathered.len() == self.plan.gather {
                self.gathering = false;
                for packet in std::mem::take(&mut self.gathered) {
                    self.pass(packet, what);
                }
            }
            return;
        }
        self.pass(packet, what);
    }

    fn pass(&mut self, packet: Vec<u8>, what: Option<What>) {
        match self.fate(what) {
            Some(Fate::Lost) => return,
            Some(Fate::Late) => {
                self.late.push(packet);
                return;
            }
            Some(Fate::Doubled) => self.put(&packet),
            None => {}
        }
        self.put(&packet);
        for late in std::mem::take(&mut self.late) {
            self.put(&late);
        }
    }

    fn fate(&mut self, what: Option<What>) -> Option<Fate> {
        let what = what?;
        let count = &mut self.counts[what as usize];
        *count += 1;
        let meant = |fault: &&Fault| fault.what == what && fault.nth == *count;
        self.plan.faults.iter().find(meant).map(|fault| fault.fate)
    }

    fn put(&mut self, packet: &[u8]) {
        self.device.write_all(packet).expect("the device takes it");
    }
}

fn what(segment: &Segment) -> Option<What> {
    if segment.destination.port() != SERVER {
        return None;
    }
    let flags = segment.flags;
    match (flags.syn(), flags.fin(), segment.payload) {
        (true, ..) => Some(What::Syn),
        (_, true, _) => Some(What::Fin),
        (_, _, 1..) => Some(What::Data),
        _ => None,
    }
}

/// `struct ifreq` (netdevice(7)), as far as TUNSETIFF reads it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; 22],
}

fn device() -> File {
    const NAME: &[u8] = b"faulty";
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("TUN");
    let flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("they fit");
    let mut request = Request { name: [0; libc::IFNAMSIZ], flags, rest: [0; 22] };
    request.name[..NAME.len()].copy_from_slice(NAME);
    // SAFETY: the request is as long as the kernel's structure, and outlives the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw const request) };
    assert_eq!(made, 0, "a TUN device: {}", std::io::Error::last_os_error());
    device
}
