//! Networks of the test's own: hosts on one Ethernet, each in a network namespace
//! (network_namespaces(7)).
//!
//! A namespace lasts as long as a process in it, its holder, which ends when its standard input does.
//! So whatever becomes of the test, nothing is left.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::server::Ended;
use super::{eventually, need, need_root};

/// Hosts on one Ethernet: host 0 is 10.9.0.1, host 1 is 10.9.0.2, and so on, all with the prefix 24
/// and one interface besides `lo`, called `eth0`.
pub(crate) struct Net {
    hosts: Vec<Host>,
    /// Where the bridge is that they are plugged into.
    switch: Host,
}

/// One of them.
pub(crate) struct Host {
    number: usize,
    holder: Ended,
}

impl Net {
    /// A network with so many hosts; None, and said, where this test may not make one.
    pub(crate) fn of(test: &str, hosts: usize) -> Option<Net> {
        if !need_root(test) || !need(test, &["ip", "nsenter", "unshare"]) {
            return None;
        }
        let switch = Host::new(usize::MAX, "ip link add br0 type bridge && ip link set br0 up");
        let hosts = (0..hosts)
            .map(|number| {
                // An address of IPv6 is otherwise tried out for a second before it is used.
                let set = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";
                let host = Host::new(number, &format!("{set} && ip link set lo up"));
                plug(&host, "eth0", &format!("{}/24", host.address()), &switch);
                host
            })
            .collect();
        Some(Net { hosts, switch })
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// Plugs a host in once more, with another interface and address.
    pub(crate) fn plug(&self, host: usize, interface: &str, address: &str) {
        plug(self.host(host), interface, address, &self.switch);
    }

    /// From now on nothing reaches a host, and nobody notices.
    pub(crate) fn cut_off(&self, host: usize) {
        self.switch.configure(&format!("ip link set host{host}-eth0 nomaster"));
    }

    /// It is reached again.
    pub(crate) fn restore(&self, host: usize) {
        self.switch.configure(&format!("ip link set host{host}-eth0 master br0"));
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

fn plug(host: &Host, interface: &str, address: &str, switch: &Host) {
    let (number, switch_process) = (host.number, switch.holder.0.id());
    let port = format!("host{number}-{interface}");
    host.configure(&format!(
        "ip link add {interface} type veth peer name {port} netns {switch_process}
         ip addr add {address} brd + dev {interface}"
    ));
    switch.configure(&format!("ip link set {port} master br0 up"));
    host.configure(&format!("ip link set {interface} up"));
    // The kernel hears of a carrier later, and until then the switch passes nothing on.
    host.waits_until(&format!("ip -o link show dev {interface} | grep -q 'state UP'"));
    switch.waits_until(&format!(
        "ip -d -o link show dev {port} | grep -q 'bridge_slave state forwarding'"
    ));
}

impl Host {
    fn new(number: usize, setup: &str) -> Host {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", &format!("{setup} && echo up && exec cat >/dev/null")]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut up = [0; 3];
        holder.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        Host { number, holder: Ended(holder) }
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        let last = u8::try_from(self.number + 1).unwrap();
        Ipv4Addr::new(10, 9, 0, last)
    }

    /// Runs lines of a shell there, each of which must succeed.
    pub(crate) fn configure(&self, lines: &str) {
        let mut shell =
            self.enter(Command::new("sh")).arg("-e").stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{lines}");
    }

    /// Waits until this, said to a shell there, succeeds.
    fn waits_until(&self, condition: &str) {
        eventually(condition, || {
            let mut shell = Command::new("sh");
            shell.args(["-c", condition]);
            self.enter(shell).status().unwrap().success().then_some(())
        });
    }

    /// The same command, to be run there.
    pub(crate) fn enter(&self, command: Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net={}", self.namespace()));
        entered.arg("--").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.0.id())
    }

    /// Runs this on a thread that is there.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let namespace = File::open(self.namespace()).unwrap();
        std::thread::spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            run()
        })
    }

    /// A socket that is there, at a free port of its address.
    pub(crate) fn udp(&self) -> UdpSocket {
        let address = self.address();
        self.spawn(move || UdpSocket::bind((address, 0)).unwrap()).join().unwrap()
    }

    /// Sends a datagram that says it comes from `from`, which need not be true.
    pub(crate) fn forge(&self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) {
        let datagram = forged(from, to, payload);
        let sent = self.spawn(move || {
            let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
            let to = std::net::SocketAddrV4::new(to.0, 0);
            sendto(&raw, &datagram, SendFlags::empty(), &to).unwrap()
        });
        sent.join().unwrap();
    }

    /// A file of /proc/net, as it is there.
    pub(crate) fn proc_net(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/net/{file}", self.holder.0.id())).unwrap()
    }

    /// UDP datagrams that were sent by programs there (`OutDatagrams`, RFC 4113).
    pub(crate) fn datagrams_sent(&self) -> u64 {
        self.udp_counter("OutDatagrams")
    }

    /// Those that programs there have received.
    pub(crate) fn datagrams_received(&self) -> u64 {
        self.udp_counter("InDatagrams")
    }

    fn udp_counter(&self, name: &str) -> u64 {
        let snmp = self.proc_net("snmp");
        let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let mut both = names.split(' ').zip(values.split(' '));
        both.find(|(other, _)| *other == name).unwrap().1.parse().unwrap()
    }

    /// Packets that left by its interface, of whatever kind.
    pub(crate) fn packets_sent(&self) -> u64 {
        let devices = self.proc_net("dev");
        let line = devices.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
        // Behind the eight counters of what came.
        line.unwrap().split_whitespace().nth(9).unwrap().parse().unwrap()
    }
}

/// An IPv4 packet (RFC 791 §3.1) around a UDP datagram (RFC 768). The kernel fills in the
/// identification and the checksum of the header; that of the datagram is optional.
fn forged(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.0.octets());
    packet.extend(to.0.octets());
    for field in [from.1, to.1, udp, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// Processor time a process has used, user and system, in milliseconds (proc_pid_stat(5)).
pub(crate) fn processor_millis(process: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum();
    ticks * 1000 / rustix::param::clock_ticks_per_second()
}
