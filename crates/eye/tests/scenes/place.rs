//! Where a scene is played: a network namespace of its own with nothing in it but loopback, and a link
//! that loses packets where the scene asks for one.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use rustix::event::poll;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use rustix::time::Timespec;

use crate::link::{Faulty, Plan};

/// The port that is listened at.
pub(crate) const SERVER: u16 = 8080;

/// The port that is connected from.
pub(crate) const CLIENT: u16 = 40_000;

/// So long a scene waits for what must happen before it fails. No scene takes it as a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How the two ends are joined.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    /// By `lo`, where each segment is acknowledged at once: else the kernel is free to join ACKs.
    Loopback,
    /// By `lo`, with ACKs delayed as the kernel sees fit.
    Delayed,
    /// By a link that does to packets what the plan says.
    Faulty(Plan),
}

impl Link {
    /// Where the server listens, and where the client finds it.
    pub(crate) fn addresses(self) -> [&'static str; 2] {
        match self {
            Link::Loopback | Link::Delayed => ["127.0.0.1", "127.0.0.1"],
            Link::Faulty(_) => ["10.7.0.1", "10.7.0.2"],
        }
    }
}

/// Moves this thread, and those it starts from now on, into a new network with such a link. The link
/// works as long as what is returned lives.
pub(crate) fn enter(link: Link) -> Option<Faulty> {
    // SAFETY: a new network changes neither descriptors nor memory that threads share.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network namespace");
    run("ip link set lo up");
    match link {
        Link::Loopback => {
            for prefix in ["127.0.0.0/8", "127.0.0.1"] {
                let at = "dev lo proto kernel scope host src 127.0.0.1 table local";
                run(&format!("ip route change local {prefix} {at} quickack 1"));
            }
            None
        }
        Link::Delayed => None,
        Link::Faulty(plan) => {
            for (name, value) in plan.settings {
                set(name, value);
            }
            let faulty = Faulty::start(plan);
            run("ip addr add 10.7.0.1/24 dev faulty");
            run("ip link set faulty up");
            run(
                "ip route change 10.7.0.0/24 dev faulty proto kernel scope link src 10.7.0.1 quickack 1",
            );
            Some(faulty)
        }
    }
}

/// Runs a command in this thread's network.
pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let mut program = Command::new(program);
    let done = spawn(program.args(words).stderr(Stdio::piped())).wait_with_output();
    let done = done.expect("the program ends");
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Held to be read while sockets are open.
static SOCKETS: RwLock<()> = RwLock::new(());

/// As long as it is held, no process is started: between fork(2) and execve(2) that would hold our
/// sockets open, and close(2) would not end a connection.
pub(crate) fn no_process_starts() -> RwLockReadGuard<'static, ()> {
    SOCKETS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process while no other thread has sockets open.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _alone = SOCKETS.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn().expect("it starts")
}

/// Sets a value of this thread's network (ip-sysctl).
pub(crate) fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect(name);
}

/// One socket of TCP as the kernel lists it (proc_pid_net(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The port of its own, and the peer's.
    pub(crate) ports: [u16; 2],
    /// The number of its state, as in `tcp_states.h`.
    pub(crate) state: u8,
    /// Bytes that were sent, or are to be, and not acknowledged.
    pub(crate) unacked: u64,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub(crate) unread: u64,
    /// Probes sent into a closed window and not answered.
    pub(crate) probes: u64,
}

/// All sockets of TCP in this thread's network.
pub(crate) fn listed() -> Vec<Listed> {
    let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("a table of sockets");
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let port = |address: &str| u16::try_from(number(address.split_once(':')?.1)?).ok();
        let (unacked, unread) = fields.get(4)?.split_once(':')?;
        Some(Listed {
            ports: [port(fields.get(1)?)?, port(fields.get(2)?)?],
            state: u8::try_from(number(fields.get(3)?)?).ok()?,
            unacked: number(unacked)?,
            unread: number(unread)?,
            probes: fields.get(8)?.parse().ok()?,
        })
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// The end that has this port, of the connection of this scene.
pub(crate) fn end_at(port: u16) -> Option<Listed> {
    let other = if port == SERVER { CLIENT } else { SERVER };
    listed().into_iter().find(|end| end.ports == [port, other])
}

pub(crate) const SYN_SENT: u8 = 2;
pub(crate) const FIN_WAIT_1: u8 = 4;

/// Waits until nothing is on its way: all bytes and FINs are acknowledged.
pub(crate) fn settle() {
    // SYN-SENT, SYN-RECEIVED, FIN-WAIT-1, LAST-ACK, CLOSING.
    const ON_THE_WAY: [u8; 5] = [SYN_SENT, 3, FIN_WAIT_1, 9, 11];
    const LISTEN: u8 = 10;
    until("nothing on its way", || {
        let settled = |end: &Listed| {
            end.state == LISTEN || (end.unacked == 0 && !ON_THE_WAY.contains(&end.state))
        };
        listed().iter().all(settled)
    });
}

/// How often something happened in this network (`TcpExt` of proc_pid_net(5)).
pub(crate) fn counter(name: &str) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/netstat").expect("counters");
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(other, _)| *other == name).expect(name);
    value.parse().expect("a number")
}

/// Asks until it is so. For states of the kernel that no event announces.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "in vain: {what}: {:?}", listed());
        pause(Duration::from_micros(500));
    }
}

/// Lets others run for a while.
pub(crate) fn pause(time: Duration) {
    let time = Timespec { tv_sec: 0, tv_nsec: time.as_nanos().try_into().expect("a short while") };
    let _ = poll(&mut [], Some(&time));
}
