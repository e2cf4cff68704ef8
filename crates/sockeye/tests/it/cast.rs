//! One to many: broadcast and multicast between hosts of a network that the test makes.

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::net::{Host, Net};
use crate::kit::said::Said;
use crate::kit::server::{Ended, run, sockeye};
use crate::kit::{eventually, need};

/// `sockeye listen` on a host, once it is ready.
pub(crate) struct Listener {
    pub(crate) stdout: Said,
    pub(crate) stderr: Said,
    child: Ended,
}

impl Listener {
    pub(crate) fn start(host: &Host, arguments: &[&str]) -> Listener {
        let mut listen = sockeye();
        listen.arg("listen").args(arguments);
        let mut command = host.enter(listen);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Said::by(child.stdout.take().unwrap());
        let stderr = Said::by(child.stderr.take().unwrap());
        let listener = Listener { stdout, stderr, child: Ended(child) };
        listener.stderr.wait_for("listening on ");
        listener
    }

    pub(crate) fn process(&self) -> &Child {
        &self.child.0
    }

    /// Ends it, and waits for its end; all it said on standard error.
    pub(crate) fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM).unwrap();
        eventually("the end of the listener", || self.child.0.try_wait().unwrap());
        self.stderr.all()
    }
}

/// `sockeye connect` on a host, to its end: standard output.
fn connect(host: &Host, arguments: &[&str]) -> String {
    let mut command = sockeye();
    command.arg("connect").args(arguments);
    let (code, stdout, stderr) = run(&mut host.enter(command));
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}

/// The same to send one line and wait for no answer.
fn tell(host: &Host, line: &str, endpoint: &str) {
    connect(host, &["--send", &format!("{line}\\n"), "--close-after", "1ms", endpoint]);
}

on_every_driver!(broadcast_from_one_host_reaches_three_others_and_all_their_answers_are_shown);

fn broadcast_from_one_host_reaches_three_others_and_all_their_answers_are_shown(driver: &str) {
    let name = "broadcast_from_one_host_reaches_three_others_and_all_their_answers_are_shown";
    let Some(net) = Net::of(name, 4) else { return };
    let others = &net.hosts()[1..];
    let echo = |host| Listener::start(host, &["--echo", "udp://0.0.0.0:9999", "--driver", driver]);
    let _listeners: Vec<Listener> = others.iter().map(echo).collect();

    let ways = [
        "udp://broadcast:9999",
        "udp://10.9.0.255:9999?broadcast",
        "udp://255.255.255.255:9999?broadcast&interface=eth0",
    ];
    for (before, way) in ways.into_iter().enumerate() {
        let ask = ["--send", "who is there?", "--count", "3", "--driver", driver, way];
        let shown = connect(net.host(0), &ask);
        let mut shown: Vec<&str> = shown.lines().collect();
        shown.sort_unstable();
        let expected = ["10.9.0.2", "10.9.0.3", "10.9.0.4"];
        assert_eq!(shown, expected.map(|host| format!("{host}:9999 who is there?")), "{way}");
        for host in others {
            assert_eq!(host.datagrams_received(), 1 + before as u64, "{way}: {}", host.address());
        }
    }
}

#[test]
fn broadcast_finds_every_network_of_a_host_and_keeps_to_the_interface_that_is_named() {
    let name = "broadcast_finds_every_network_of_a_host_and_keeps_to_the_interface_that_is_named";
    let Some(net) = Net::of(name, 3) else { return };
    // Another network on the same Ethernet, in which the last host is and the middle one is not.
    net.plug(0, "eth1", "10.77.0.1/16");
    net.host(2).configure(
        "ip addr flush dev eth0
         ip addr add 10.77.0.3/16 dev eth0",
    );
    let near = Listener::start(net.host(1), &["udp://0.0.0.0:9999"]);
    let far = Listener::start(net.host(2), &["udp://0.0.0.0:9999"]);
    let mut command = sockeye();
    command.args(["connect", "-v", "--send", "to all\\n", "udp://broadcast:9999"]);
    let (code, _, stderr) = run(&mut net.host(0).enter(command));
    assert_eq!(code, Some(0), "{stderr}");
    let to = "sockeye: sending to 10.9.0.255:9999, 10.77.255.255:9999\n";
    assert!(stderr.ends_with(to), "{stderr}");
    near.stdout.wait_for("to all");
    far.stdout.wait_for("to all");
    for (interface, heard, not) in [("eth0", &near, &far), ("eth1", &far, &near)] {
        let only = format!("only {interface}");
        tell(net.host(0), &only, &format!("udp://broadcast:9999?interface={interface}"));
        heard.stdout.wait_for(&only);
        // What had come before this would be shown before it.
        let then = format!("all after {interface}");
        tell(net.host(0), &then, "udp://broadcast:9999");
        not.stdout.wait_for(&then);
        let all = not.stdout.so_far();
        assert!(!all.contains(&only), "{all}");
    }
}

#[test]
fn without_an_interface_that_can_broadcast_one_line_says_so() {
    let name = "without_an_interface_that_can_broadcast_one_line_says_so";
    let Some(net) = Net::of(name, 1) else { return };
    let refused = |endpoint: &str, line: &str| {
        let mut command = sockeye();
        command.args(["connect", "--send", "hello", endpoint]);
        let (code, stdout, stderr) = run(&mut net.host(0).enter(command));
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        assert_eq!(stderr, format!("sockeye: {endpoint}: {line}\n"));
    };
    refused(
        "udp://10.9.0.255:9999",
        "connect: permission denied (a broadcast address needs the option broadcast)",
    );
    net.host(0).configure("ip link set eth0 down");
    refused(
        "udp://broadcast:9999",
        "no interface can broadcast: each is down, has no IPv4 address, or has one end only (see: \
         ip addr)",
    );
    refused(
        "udp://broadcast:9999?interface=eth0",
        "eth0 can't broadcast: it is down, has no IPv4 address, or has one end only (see: ip addr \
         show eth0)",
    );
}

#[test]
fn what_was_sent_and_what_came_are_both_shown_though_the_end_comes_at_once() {
    let name = "what_was_sent_and_what_came_are_both_shown_though_the_end_comes_at_once";
    let Some(net) = Net::of(name, 2) else { return };
    let _listener = Listener::start(net.host(1), &["--echo", "udp://0.0.0.0:9999"]);
    for endpoint in ["udp://10.9.0.2:9999", "udp://broadcast:9999"] {
        for _ in 0..10 {
            let ask = ["--json", "--send", "hello", "--count", "1", endpoint];
            let shown = connect(net.host(0), &ask);
            for direction in ["out", "in"] {
                let direction = format!("\"direction\":\"{direction}\"");
                assert_eq!(shown.matches(&direction).count(), 1, "{shown}");
            }
        }
    }
}

/// The groups a host is in, as /proc/net shows them.
fn groups(host: &Host) -> String {
    host.proc_net("igmp") + &host.proc_net("igmp6")
}

#[test]
fn a_group_is_sent_to_all_who_joined_until_they_leave() {
    let name = "a_group_is_sent_to_all_who_joined_until_they_leave";
    let Some(net) = Net::of(name, 5) else { return };
    // The last is how /proc/net writes the group.
    for (endpoint, by_option, in_proc) in [
        (
            "udp://239.1.2.3:9999?interface=eth0",
            "udp://0.0.0.0:9999?join=239.1.2.3&interface=eth0",
            format!("{:08X}", u32::from_ne_bytes([239, 1, 2, 3])),
        ),
        (
            "udp://[ff15::beef]:9999?interface=eth0",
            "udp://[::]:9999?join=ff15::beef&interface=eth0",
            "ff15000000000000000000000000beef".to_owned(),
        ),
        (
            "udp://[ff02::beef%eth0]:9999",
            "udp://[::]:9999?join=ff02::beef&interface=eth0",
            "ff02000000000000000000000000beef".to_owned(),
        ),
    ] {
        let ways = [endpoint, by_option, endpoint];
        let start = |(host, way): (&Host, &&str)| Listener::start(host, &["--echo", way]);
        let mut members: Vec<Listener> = net.hosts()[1..4].iter().zip(&ways).map(start).collect();
        for (number, host) in net.hosts().iter().enumerate() {
            let is_in = groups(host).contains(&in_proc);
            assert_eq!(is_in, (1..4).contains(&number), "host {number}: {}", groups(host));
        }
        // Somebody in another group hears nothing of this one.
        let other = Listener::start(net.host(4), &["udp://239.9.9.9:9999?interface=eth0"]);

        let shown = connect(net.host(0), &["--send", "members?", "--count", "3", endpoint]);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().all(|line| line.ends_with(":9999 members?")), "{shown}");
        assert!(
            !shown.contains("239.1") && !shown.contains("[ff"),
            "each answers by its own address: {shown}"
        );

        members.remove(1).stop();
        assert!(!groups(net.host(2)).contains(&in_proc), "{}", groups(net.host(2)));
        let shown = connect(net.host(0), &["--send", "who is left?", "--count", "2", endpoint]);
        assert_eq!(shown.lines().count(), 2, "{shown}");

        let to_other = "udp://239.9.9.9:9999?interface=eth0";
        tell(net.host(0), "the other group", to_other);
        other.stdout.wait_for("the other group");
        other.stop();
    }
}

#[test]
fn without_loop_a_message_leaves_and_does_not_come_back() {
    let name = "without_loop_a_message_leaves_and_does_not_come_back";
    let Some(net) = Net::of(name, 2) else { return };
    for group in ["239.1.2.3", "[ff15::beef]"] {
        let endpoint = format!("udp://{group}:9999?interface=eth0");
        let here = Listener::start(net.host(0), &[&endpoint]);
        let there = Listener::start(net.host(1), &[&endpoint]);
        tell(net.host(0), "out", &format!("{endpoint}&loop=off"));
        there.stdout.wait_for("out");
        tell(net.host(0), "to all", &endpoint);
        here.stdout.wait_for("to all");
        let heard = here.stdout.so_far();
        assert!(!heard.contains("out"), "{heard}");
        for listener in [here, there] {
            listener.stop();
        }
    }
}

#[test]
fn a_group_is_not_sent_beyond_the_next_router_unless_asked_for() {
    let name = "a_group_is_not_sent_beyond_the_next_router_unless_asked_for";
    if !need(name, &["tshark"]) {
        return;
    }
    let Some(net) = Net::of(name, 2) else { return };
    let fields = ["-T", "fields", "-e", "ip.ttl", "-e", "ipv6.hlim", "-e", "data.text"];
    let mut tshark = std::process::Command::new("tshark");
    tshark.args(["-l", "-i", "eth0", "-f", "udp port 9999", "-o", "data.show_as_text:TRUE"]);
    tshark.args(fields);
    let mut command = net.host(1).enter(tshark);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let seen = Said::by(child.0.stdout.take().unwrap());
    let said = Said::by(child.0.stderr.take().unwrap());
    said.wait_for("Capturing on");
    // It says so a little before it does.
    eventually("the capture", || {
        tell(net.host(0), "is it?", "udp://239.1.2.3:9999?interface=eth0");
        seen.so_far().contains("is it?").then_some(())
    });
    for group in ["239.1.2.3", "[ff15::beef]"] {
        let endpoint = format!("udp://{group}:9999?interface=eth0");
        tell(net.host(0), &format!("near {group}"), &endpoint);
        tell(net.host(0), &format!("far {group}"), &format!("{endpoint}&ttl=4"));
        for (what, hops) in [("near", "1"), ("far", "4")] {
            let line = seen.wait_for(&format!("{what} {group}"));
            assert!(line.split('\t').any(|field| field == hops), "{line}");
        }
    }
}
