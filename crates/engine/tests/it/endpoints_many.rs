//! Endpoints that are many at once: `udp://broadcast`, broadcast addresses, multicast groups. In a
//! network of the test's own, where every interface is known.

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use rustix::thread::{UnshareFlags, unshare_unsafe};
use sockeye_engine::{Address, Connected, Datagram, Endpoint, Listening, interfaces};

use crate::{engine, on_every_driver, skip};

/// Runs the script on a thread with a network of its own: `left` is 10.1.0.1/24 and `right` is
/// 10.2.0.1/24, both Ethernet; `idle` is switched off; `alone` has an address and no neighbours.
fn in_a_network(test: &'static str, script: impl FnOnce() + Send + 'static) {
    let run = move || {
        // SAFETY: no memory and no table of descriptors is unshared, only the network.
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        if let Err(error) = unshared {
            return skip(test, &format!("a network of its own: {error} (it takes root)"));
        }
        // An address of IPv6 is otherwise tried out for a second before it is used.
        fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("our own network");
        let commands = "link set lo up
            link add left type veth peer name left-end
            link add right type veth peer name right-end
            link add idle type veth peer name idle-end
            link add alone type veth peer name alone-end
            addr add 10.1.0.1/24 brd + dev left
            addr add 10.2.0.1/24 dev right
            addr add 10.3.0.1/24 brd + dev idle
            addr add 10.4.0.1/32 dev alone
            link set left-end up
            link set left up
            link set right-end up
            link set right up
            link set alone-end up
            link set alone up";
        for command in commands.lines() {
            let status = Command::new("ip").args(command.split_whitespace()).status();
            match status {
                Ok(status) => assert!(status.success(), "ip {command}"),
                Err(_) => return skip(test, "ip is missing"),
            }
        }
        script();
    };
    std::thread::spawn(run).join().expect("its panic is above");
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

async fn listen(text: &str) -> (Datagram, u16) {
    let listening = endpoint(text).listen().await.unwrap_or_else(|error| panic!("{error}"));
    let Some(Listening::Datagram(socket)) = listening.into_iter().next() else {
        panic!("{text}: datagrams")
    };
    let port = socket.local_addr().expect("bound").ip().expect("UDP").port();
    (socket, port)
}

async fn connect(text: &str) -> Datagram {
    match endpoint(text).connect().await {
        Ok(Connected::Datagram(socket)) => socket,
        Ok(other) => panic!("{text}: {other:?}"),
        Err(error) => panic!("{error}"),
    }
}

async fn refused(text: &str) -> (ErrorKind, String) {
    let error = endpoint(text).connect().await.expect_err("it can't be connected to");
    (error.kind(), error.to_string())
}

/// Who sent the next message, and what.
async fn heard(socket: &Datagram) -> (Address, String) {
    let message = socket.recv().await.expect("a message");
    let from = message.from.expect("UDP tells");
    (from, String::from_utf8_lossy(&message.bytes).into_owned())
}

fn host(address: &Address) -> String {
    address.ip().expect("UDP").ip().to_string()
}

#[test]
fn interfaces_are_found_with_their_addresses_and_what_they_can() {
    in_a_network("interfaces_are_found_with_their_addresses_and_what_they_can", || {
        let all = interfaces().expect("our own");
        let named = |name: &str| all.iter().find(|it| it.name == name).expect("it was made");
        let told = |name: &str| {
            let address = named(name).addresses.iter().find(|it| it.address.is_ipv4());
            let address = address.expect("it was given");
            (address.address.to_string(), address.prefix, address.broadcast)
        };
        let last = |net| Some(std::net::Ipv4Addr::new(10, net, 0, 255));
        assert_eq!(told("left"), ("10.1.0.1".to_owned(), 24, last(1)));
        assert_eq!(told("right"), ("10.2.0.1".to_owned(), 24, last(2)), "nobody has set it");
        assert_eq!(told("alone"), ("10.4.0.1".to_owned(), 32, None));
        assert_eq!(told("lo"), ("127.0.0.1".to_owned(), 8, None));
        let left = named("left");
        assert!(left.is_up() && left.is_running() && left.can_broadcast() && left.can_multicast());
        assert!(!left.is_loopback() && !left.is_point_to_point());
        assert!(!named("idle").is_up());
        assert!(left.addresses.iter().any(|it| it.address.is_ipv6() && it.prefix == 64));
        let index = fs::read_to_string("/proc/thread-self/net/igmp").expect("our own network");
        assert!(index.contains(&format!("{}\tleft", left.index)), "{index}");
    });
}

#[test]
fn broadcast_reaches_each_network_and_every_answer_comes_back() {
    in_a_network("broadcast_reaches_each_network_and_every_answer_comes_back", || {
        on_every_driver(|kind| {
            engine(kind).block_on(async {
                let (server, port) = listen("udp://0.0.0.0:0").await;
                let client = connect(&format!("udp://broadcast:{port}")).await;
                let to: Vec<_> = client.destinations().iter().map(ToString::to_string).collect();
                assert_eq!(to, [format!("10.1.0.255:{port}"), format!("10.2.0.255:{port}")]);
                client.send(b"who is there?").await.expect("two networks");
                let mut from = Vec::new();
                for _ in 0..2 {
                    let (asker, said) = heard(&server).await;
                    assert_eq!(said, "who is there?");
                    from.push(host(&asker));
                    server.send_to(b"me", &asker).await.expect("it is there");
                }
                from.sort();
                assert_eq!(from, ["10.1.0.1", "10.2.0.1"]);
                let mut answers = [heard(&client).await, heard(&client).await];
                answers.sort_by_key(|(from, _)| host(from));
                let answers = answers.iter().map(|(from, said)| (host(from), &**said));
                let expected = ["10.1.0.1", "10.2.0.1"].map(|from| (from.to_owned(), "me"));
                assert_eq!(answers.collect::<Vec<_>>(), expected, "{kind}");
                // Without waiting for room, too.
                client.try_send_to(b"again", None).expect("two networks");
                assert_eq!(
                    (heard(&server).await.1, heard(&server).await.1.as_str()),
                    ("again".to_owned(), "again")
                );
            });
        });
    });
}

#[test]
fn broadcast_keeps_to_the_interface_that_is_named() {
    in_a_network("broadcast_keeps_to_the_interface_that_is_named", || {
        engine(Default::default()).block_on(async {
            let (server, port) = listen("udp://0.0.0.0:0").await;
            let client = connect(&format!("udp://BROADCAST:{port}?interface=right")).await;
            assert_eq!(client.destinations().len(), 1);
            client.send(b"right").await.expect("one network");
            assert_eq!(host(&heard(&server).await.0), "10.2.0.1");
            // Nothing else has come before the next.
            let left = connect(&format!("udp://broadcast:{port}?interface=left")).await;
            left.send(b"left").await.expect("one network");
            assert_eq!(heard(&server).await.1, "left");
        });
    });
}

#[test]
fn what_can_not_broadcast_is_named_with_the_way_out() {
    in_a_network("what_can_not_broadcast_is_named_with_the_way_out", || {
        engine(Default::default()).block_on(async {
            let says = async |text: &str, kind, line: &str| {
                assert_eq!(refused(text).await, (kind, format!("{text}: {line}")));
            };
            says(
                "udp://broadcast:9?interface=nowhere",
                ErrorKind::NotFound,
                "no interface is called \"nowhere\" (see: ip link)",
            )
            .await;
            for name in ["idle", "alone", "lo"] {
                says(
                    &format!("udp://broadcast:9?interface={name}"),
                    ErrorKind::AddrNotAvailable,
                    &format!(
                        "{name} can't broadcast: it is down, has no IPv4 address, or has one end \
                         only (see: ip addr show {name})"
                    ),
                )
                .await;
            }
            let not_allowed =
                "connect: permission denied (a broadcast address needs the option broadcast)";
            says("udp://10.1.0.255:9", ErrorKind::PermissionDenied, not_allowed).await;
            let (_, line) = refused("udp://255.255.255.255:9?broadcast").await;
            assert!(line.ends_with("(name an interface: interface=NAME; or send to every network: udp://broadcast:PORT)"), "{line}");
            let (kind, line) = refused("udp://broadcast:9?broadcast=off").await;
            assert_eq!(kind, ErrorKind::PermissionDenied);
            assert!(line.ends_with("(a broadcast address needs the option broadcast)"), "{line}");
            let error =
                endpoint("udp://broadcast:9").listen().await.err().expect("nothing to listen at");
            let way = "broadcast stands for all others; listen at udp://0.0.0.0:PORT to hear them";
            assert!(error.to_string().contains(way), "{error}");

            for name in ["left", "right"] {
                let off = Command::new("ip").args(["link", "set", name, "down"]).status();
                assert!(off.expect("it was there").success());
            }
            says(
                "udp://broadcast:9",
                ErrorKind::AddrNotAvailable,
                "no interface can broadcast: each is down, has no IPv4 address, or has one end \
                 only (see: ip addr)",
            )
            .await;
        });
    });
}

#[test]
fn a_broadcast_address_is_answered_by_those_who_hear_it() {
    in_a_network("a_broadcast_address_is_answered_by_those_who_hear_it", || {
        engine(Default::default()).block_on(async {
            let (server, port) = listen("udp://0.0.0.0:0").await;
            for to in ["10.1.0.255", "255.255.255.255"] {
                // The limited one has no network that a route could be found by.
                let only = if to == "10.1.0.255" { "" } else { "&interface=left" };
                let client = connect(&format!("udp://{to}:{port}?broadcast{only}")).await;
                client.send(b"anybody?").await.expect("allowed");
                let (asker, _) = heard(&server).await;
                server.send_to(b"me", &asker).await.expect("it is there");
                assert_eq!(host(&heard(&client).await.0), "10.1.0.1");
            }
        });
    });
}

#[test]
fn a_group_is_joined_by_listening_at_it_and_answers_come_from_its_members() {
    in_a_network("a_group_is_joined_by_listening_at_it_and_answers_come_from_its_members", || {
        on_every_driver(|kind| {
            // By its number: names of zones are looked up on a thread of another network.
            let all = interfaces().expect("our own");
            let left = all.iter().find(|it| it.name == "left").expect("it was made").index;
            engine(kind).block_on(async {
                for (group, at) in [
                    ("239.1.2.3", "?interface=left"),
                    ("[ff15::beef]", "?interface=left"),
                    (&*format!("[ff02::beef%{left}]"), ""),
                ] {
                    let (one, port) = listen(&format!("udp://{group}:0{at}")).await;
                    let (other, _) = listen(&format!("udp://{group}:{port}{at}")).await;
                    let client = connect(&format!("udp://{group}:{port}{at}")).await;
                    client.send(b"members?").await.expect("a way there");
                    for member in [&one, &other] {
                        let (asker, said) = heard(member).await;
                        assert_eq!(said, "members?", "{kind} {group}");
                        member.send_to(b"here", &asker).await.expect("it is there");
                        let (from, said) = heard(&client).await;
                        assert_eq!(said, "here");
                        let from = from.ip().expect("UDP");
                        assert!(!from.ip().is_multicast() && from.port() == port, "{from}");
                    }
                }
            });
        });
    });
}

#[test]
fn only_those_groups_are_heard_that_were_joined() {
    in_a_network("only_those_groups_are_heard_that_were_joined", || {
        engine(Default::default()).block_on(async {
            let joined = "udp://0.0.0.0:0?join=239.1.2.3&join=239.1.2.4&interface=left";
            let (server, port) = listen(joined).await;
            // Another program on this machine is in another group.
            let _other = listen("udp://239.9.9.9:0?interface=left").await;
            for group in ["239.9.9.9", "239.1.2.4", "239.9.9.9", "239.1.2.3"] {
                let client = connect(&format!("udp://{group}:{port}?interface=left")).await;
                client.send(group.as_bytes()).await.expect("a way there");
            }
            assert_eq!(heard(&server).await.1, "239.1.2.4");
            assert_eq!(heard(&server).await.1, "239.1.2.3");
        });
    });
}

#[test]
fn without_loop_this_machine_does_not_hear_itself() {
    in_a_network("without_loop_this_machine_does_not_hear_itself", || {
        engine(Default::default()).block_on(async {
            for group in ["239.1.2.3", "[ff15::beef]"] {
                let (server, port) = listen(&format!("udp://{group}:0?interface=left")).await;
                let to = format!("udp://{group}:{port}?interface=left");
                let silent = connect(&format!("{to}&loop=off")).await;
                silent.send(b"not here").await.expect("a way there");
                connect(&to).await.send(b"here").await.expect("a way there");
                assert_eq!(heard(&server).await.1, "here");
            }
        });
    });
}

#[test]
fn a_group_to_which_no_way_leads_asks_for_an_interface() {
    in_a_network("a_group_to_which_no_way_leads_asks_for_an_interface", || {
        engine(Default::default()).block_on(async {
            let (kind, line) = refused("udp://239.1.2.3:9").await;
            assert_eq!(kind, ErrorKind::NetworkUnreachable);
            assert_eq!(
                line,
                "udp://239.1.2.3:9: connect: network is unreachable (no way leads to this group; \
                 name an interface: interface=NAME (see: ip link))"
            );
            let (_, line) = refused("udp://[ff02::beef]:9").await;
            assert!(
                line.ends_with(
                    "(a link-local group needs its interface: [ff02::1%eth0]:80, or interface=NAME)"
                ),
                "{line}"
            );
            let error = endpoint("udp://239.1.2.3:0").listen().await.err().expect("no way");
            assert!(error.to_string().contains("interface=NAME"), "{error}");
        });
    });
}
