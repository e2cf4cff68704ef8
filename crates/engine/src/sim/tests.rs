//! The pipe model by itself: what two ends are told, and when.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use rustix::io::Errno;

use super::model::Model as _;
use super::network::Network;
use super::{Link, Plan, Scope};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER, port)
}

fn network(plan: &str) -> Network {
    Network::new(0, plan.parse().expect("a plan"))
}

/// Lets everything happen that will.
fn settle(network: &mut Network) {
    while let Some(next) = network.next_event() {
        network.advance(next);
    }
}

/// Both ends of a connection, accepted.
fn connection(network: &mut Network) -> (u32, u32) {
    let listener = network.listen(at(80), 8).expect("free");
    let client = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(network.now() + Duration::from_millis(3));
    assert_eq!(network.connected(client), Ok(()));
    let server = network.accept(listener).expect("it came");
    network.close(listener);
    (client, server)
}

fn recv(network: &mut Network, socket: u32) -> Result<Vec<u8>, Errno> {
    let mut room = vec![0; 100_000];
    let count = network.recv(socket, &mut room)?;
    room.truncate(count);
    Ok(room)
}

#[test]
fn bytes_arrive_after_the_delay_and_not_before() {
    let mut network = network("");
    let (client, server) = connection(&mut network);
    assert_eq!(network.send(client, b"hello"), Ok(5));
    network.advance(network.now() + Duration::from_micros(999));
    assert_eq!(recv(&mut network, server), Err(Errno::AGAIN));
    network.advance(network.now() + Duration::from_micros(1));
    assert_eq!(recv(&mut network, server), Ok(b"hello".to_vec()));
}

#[test]
fn who_does_not_read_stops_who_sends_and_reading_lets_it_go_on() {
    let mut network = network("");
    network.set_usual_link(Link { buffer: 1000, ..Link::default() });
    let (client, server) = connection(&mut network);
    assert_eq!(network.send(client, &[1; 1500]), Ok(1000));
    settle(&mut network);
    assert_eq!(network.send(client, &[2; 500]), Err(Errno::AGAIN));
    assert_eq!(recv(&mut network, server).map(|bytes| bytes.len()), Ok(1000));
    // The sender has yet to hear of it.
    assert_eq!(network.send(client, &[2; 500]), Err(Errno::AGAIN));
    settle(&mut network);
    assert_eq!(network.send(client, &[2; 500]), Ok(500));
}

#[test]
fn a_rate_holds_bytes_back() {
    let mut network = network("");
    network.set_usual_link(Link { rate: Some(1_000_000), ..Link::default() });
    let (client, server) = connection(&mut network);
    let start = network.now();
    network.send(client, &[0; 5000]).expect("room");
    network.send(client, &[0; 5000]).expect("room");
    network.advance(start + Duration::from_millis(6));
    assert_eq!(recv(&mut network, server).map(|bytes| bytes.len()), Ok(5000));
    network.advance(start + Duration::from_millis(11));
    assert_eq!(recv(&mut network, server).map(|bytes| bytes.len()), Ok(5000));
}

#[test]
fn half_close_ends_one_direction_only() {
    let mut network = network("");
    let (client, server) = connection(&mut network);
    network.send(client, b"ask").expect("room");
    network.shutdown_write(client).expect("connected");
    assert_eq!(network.send(client, b"more"), Err(Errno::PIPE));
    settle(&mut network);
    assert_eq!(recv(&mut network, server), Ok(b"ask".to_vec()));
    assert_eq!(recv(&mut network, server), Ok(vec![]));
    network.send(server, b"answer").expect("this half is open");
    network.close(server);
    settle(&mut network);
    assert_eq!(recv(&mut network, client), Ok(b"answer".to_vec()));
    assert_eq!(recv(&mut network, client), Ok(vec![]));
    network.close(client);
    settle(&mut network);
    assert_eq!(network.connections(), 0);
}

#[test]
fn closing_with_unread_bytes_resets() {
    let mut network = network("");
    let (client, server) = connection(&mut network);
    network.send(client, b"never read").expect("room");
    network.send(server, b"answer").expect("room");
    settle(&mut network);
    network.close(server);
    settle(&mut network);
    // What had come can be read; then the reset is told once to each side (tcp(7)).
    assert_eq!(recv(&mut network, client), Ok(b"answer".to_vec()));
    assert_eq!(recv(&mut network, client), Err(Errno::CONNRESET));
    assert_eq!(recv(&mut network, client), Ok(vec![]));
    assert_eq!(network.send(client, b"x"), Err(Errno::PIPE));
    network.close(client);
    settle(&mut network);
    assert_eq!(network.connections(), 0);
}

#[test]
fn bytes_for_a_closed_socket_are_answered_with_rst() {
    let mut network = network("");
    let (client, server) = connection(&mut network);
    network.close(server);
    network.send(client, b"into the void").expect("the FIN is on its way");
    settle(&mut network);
    // The FIN came before the RST did: the end of the stream for who reads, EPIPE for who writes.
    assert_eq!(recv(&mut network, client), Ok(vec![]));
    assert_eq!(network.send(client, b"x"), Err(Errno::PIPE));
}

#[test]
fn connecting_to_nobody_is_refused() {
    let mut network = network("");
    let client = network.connect(CLIENT, at(9)).expect("a port");
    assert_eq!(network.connected(client), Err(Errno::AGAIN));
    settle(&mut network);
    assert_eq!(network.connected(client), Err(Errno::CONNREFUSED));
    network.close(client);
    assert_eq!(network.connections(), 0);
}

#[test]
fn a_full_backlog_makes_clients_wait_and_the_next_syn_gets_in() {
    let mut network = network("");
    let listener = network.listen(at(80), 1).expect("free");
    let one = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(Duration::from_millis(10));
    let other = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(Duration::from_millis(500));
    assert_eq!((network.connected(one), network.connected(other)), (Ok(()), Err(Errno::AGAIN)));
    network.accept(listener).expect("the first");
    network.advance(Duration::from_millis(1100));
    assert_eq!(network.connected(other), Ok(()));
}

#[test]
fn a_backlog_that_stays_full_ends_in_a_timeout_after_two_minutes() {
    let mut network = network("");
    let _listener = network.listen(at(80), 1).expect("free");
    let _one = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(Duration::from_millis(10));
    let other = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(Duration::from_secs(120));
    assert_eq!(network.connected(other), Err(Errno::AGAIN));
    settle(&mut network);
    assert_eq!(network.connected(other), Err(Errno::TIMEDOUT));
    assert_eq!(network.now().as_secs(), 127);
}

#[test]
fn a_listener_that_closes_resets_who_was_not_accepted() {
    let mut network = network("");
    let listener = network.listen(at(80), 8).expect("free");
    let client = network.connect(CLIENT, at(80)).expect("a port");
    settle(&mut network);
    assert_eq!(network.connected(client), Ok(()));
    network.close(listener);
    settle(&mut network);
    assert_eq!(recv(&mut network, client), Err(Errno::CONNRESET));
    network.close(client);
    settle(&mut network);
    assert_eq!(network.connections(), 0);
}

#[test]
fn each_fault_of_a_call_does_what_its_line_says() {
    let mut network = network(
        "conn 1 client write 2 short 3; conn 1 client write 3 stalled 50000us; conn 1 server read 1 short 2",
    );
    let (client, server) = connection(&mut network);
    assert_eq!(network.send(client, b"first"), Ok(5));
    assert_eq!(network.send(client, b"second"), Ok(3));
    assert_eq!(network.send(client, b"ond"), Err(Errno::AGAIN));
    network.advance(network.now() + Duration::from_millis(2));
    assert_eq!(network.send(client, b"ond"), Err(Errno::AGAIN));
    let stalled = network.now();
    network.advance(stalled + Duration::from_millis(49));
    assert_eq!(network.send(client, b"ond"), Err(Errno::AGAIN));
    network.advance(stalled + Duration::from_millis(50));
    assert_eq!(network.send(client, b"ond"), Ok(3));
    settle(&mut network);
    assert_eq!(recv(&mut network, server), Ok(b"fi".to_vec()));
    assert_eq!(recv(&mut network, server), Ok(b"rstsecond".to_vec()));
    assert_eq!(network.faults_of(1).len(), 3);
}

#[test]
fn refusals_and_resets_of_the_plan_strike_where_they_should() {
    let mut network =
        network("conn 1 refused; conn 2 client segment 2 reset; conn 3 reset at 9000us");
    let _listener = network.listen(at(80), 8).expect("free");
    let clients = [1, 2, 3].map(|_| network.connect(CLIENT, at(80)).expect("a port"));
    network.advance(Duration::from_millis(5));
    assert_eq!(network.connected(clients[0]), Err(Errno::CONNREFUSED));
    for client in &clients[1..] {
        assert_eq!(network.connected(*client), Ok(()));
        network.send(*client, b"one").expect("room");
        network.send(*client, b"two").expect("room");
    }
    network.advance(Duration::from_millis(8));
    assert_eq!(recv(&mut network, clients[1]), Err(Errno::CONNRESET));
    assert_eq!(recv(&mut network, clients[2]), Err(Errno::AGAIN));
    network.advance(Duration::from_millis(9));
    assert_eq!(recv(&mut network, clients[2]), Err(Errno::CONNRESET));
}

#[test]
fn a_late_segment_keeps_those_behind_it_waiting() {
    let mut network = network("conn 1 client segment 1 late 30000us");
    let (client, server) = connection(&mut network);
    let start = network.now();
    network.send(client, b"one").expect("room");
    network.send(client, b"two").expect("room");
    network.advance(start + Duration::from_millis(30));
    assert_eq!(recv(&mut network, server), Err(Errno::AGAIN));
    network.advance(start + Duration::from_millis(31));
    assert_eq!(recv(&mut network, server), Ok(b"onetwo".to_vec()));
}

#[test]
fn an_rst_overtakes_what_was_lost_before_it() {
    let mut network = network("conn 1 server segment 2 late 30000us");
    let (client, server) = connection(&mut network);
    network.send(client, b"never read").expect("room");
    network.send(server, b"first").expect("room");
    network.send(server, b"lost").expect("room");
    network.advance(network.now() + Duration::from_millis(2));
    network.close(server);
    settle(&mut network);
    assert_eq!(recv(&mut network, client), Ok(b"first".to_vec()));
    assert_eq!(recv(&mut network, client), Err(Errno::CONNRESET));
}

#[test]
fn a_partition_holds_everything_back_until_it_heals() {
    let mut network = network("link 10.0.0.1 10.0.0.2 cut 4000us for 5000000us");
    let (client, server) = connection(&mut network);
    network.advance(Duration::from_millis(10));
    network.send(client, b"held back").expect("room");
    let late = network.connect(CLIENT, at(80)).expect("a port");
    network.advance(Duration::from_secs(5));
    assert_eq!(recv(&mut network, server), Err(Errno::AGAIN));
    assert_eq!(network.connected(late), Err(Errno::AGAIN));
    network.advance(Duration::from_millis(5005));
    assert_eq!(recv(&mut network, server), Ok(b"held back".to_vec()));
    settle(&mut network);
    assert_eq!(network.connected(late), Err(Errno::CONNREFUSED), "nobody listens any more");
}

#[test]
fn datagrams_are_lost_doubled_delayed_and_truncated_as_the_plan_says() {
    let mut network = network(
        "link 10.0.0.2 10.0.0.1 datagram 1 lost; link 10.0.0.2 10.0.0.1 datagram 2 twice; \
         link 10.0.0.2 10.0.0.1 datagram 3 late 9000us; \
         link 10.0.0.2 10.0.0.1 datagram 4 truncated 2",
    );
    let receiver = network.bind_datagram(at(53)).expect("free");
    let sender = network.bind_datagram(SocketAddr::new(CLIENT, 0)).expect("free");
    for content in ["one", "two", "three", "four", "five"] {
        assert_eq!(network.send_to(sender, content.as_bytes(), at(53)), Ok(content.len()));
    }
    settle(&mut network);
    let mut came = Vec::new();
    while let Ok(datagram) = network.recv_from(receiver, 100, false) {
        let cut = datagram.len > datagram.bytes.len();
        came.push((String::from_utf8(datagram.bytes).expect("text"), cut));
    }
    let came: Vec<_> = came.iter().map(|(text, cut)| (text.as_str(), *cut)).collect();
    let expected =
        [("two", false), ("two", false), ("fo", true), ("five", false), ("three", false)];
    assert_eq!(came, expected);
    assert_eq!(network.send_to(sender, &[0; 70_000], at(53)), Err(Errno::MSGSIZE));
}

#[test]
fn jitter_reorders_datagrams_but_never_a_stream() {
    let mut network = network("");
    network.set_usual_link(Link { jitter: Duration::from_millis(20), ..Link::default() });
    let receiver = network.bind_datagram(at(53)).expect("free");
    let sender = network.bind_datagram(SocketAddr::new(CLIENT, 0)).expect("free");
    let listener = network.listen(at(80), 1).expect("free");
    let client = network.connect(CLIENT, at(80)).expect("a port");
    settle(&mut network);
    let server = network.accept(listener).expect("it came");
    for number in 0..50 {
        network.send_to(sender, &[number], at(53)).expect("sent");
        network.send(client, &[number]).expect("room");
    }
    settle(&mut network);
    let came: Vec<u8> = std::iter::from_fn(|| network.recv_from(receiver, 100, false).ok())
        .map(|d| d.bytes[0])
        .collect();
    let sent: Vec<u8> = (0..50).collect();
    assert_ne!(came, sent);
    assert_eq!(recv(&mut network, server), Ok(sent));
}

/// What two ends do to each other, in any order.
#[derive(Clone, Debug)]
enum Step {
    Send(bool, usize),
    Recv(bool, usize),
    Shutdown(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1usize..3000).prop_map(|(side, len)| Step::Send(side, len)),
        4 => (any::<bool>(), 1usize..3000).prop_map(|(side, len)| Step::Recv(side, len)),
        1 => any::<bool>().prop_map(Step::Shutdown),
        3 => (0u64..5000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn a_stream_arrives_whole_and_in_order_or_ends_in_an_error_that_a_fault_explains(
        seed: u64,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let scope = Scope {
            faults: 6,
            connections: 1,
            calls: 12,
            bytes: 500,
            lasting: Duration::from_millis(50),
            longest: Duration::from_secs(2),
            links: vec![(CLIENT, SERVER)],
            datagrams: 0,
        };
        let mut network = Network::new(seed, Plan::draw(seed, &scope));
        network.set_usual_link(Link { buffer: 4096, ..Link::default() });
        let listener = network.listen(at(80), 8).expect("free");
        let client = network.connect(CLIENT, at(80)).expect("a port");
        settle(&mut network);
        let ended = |network: &Network| {
            network.faults_of(1).iter().any(|fault| fault.ends_connection())
        };
        if network.connected(client).is_err() {
            prop_assert!(ended(&network));
            return Ok(());
        }
        let server = network.accept(listener).expect("it came");
        let ends = [client, server];
        let mut sent = [Vec::new(), Vec::new()];
        let mut received = [Vec::new(), Vec::new()];
        let mut closed = [false; 2];
        let mut number = 0u8;
        // Whoever is left reads to the end.
        let rest = [0, 1].map(|side| Step::Shutdown(side == 1));
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Send(side, len) => {
                    let side = usize::from(side);
                    number = number.wrapping_add(1);
                    match network.send(ends[side], &vec![number; len]) {
                        Ok(count) => sent[side].extend(std::iter::repeat_n(number, count)),
                        Err(Errno::AGAIN) => {}
                        Err(_) => prop_assert!(closed[side] || ended(&network)),
                    }
                }
                Step::Recv(side, len) => {
                    let side = usize::from(side);
                    let mut room = vec![0; len];
                    match network.recv(ends[side], &mut room) {
                        Ok(count) => received[side].extend_from_slice(&room[..count]),
                        Err(Errno::AGAIN) => {}
                        Err(_) => prop_assert!(ended(&network)),
                    }
                }
                Step::Shutdown(side) => {
                    let side = usize::from(side);
                    closed[side] |= network.shutdown_write(ends[side]).is_ok();
                }
                Step::Wait(micros) => {
                    let until = network.now() + Duration::from_micros(micros);
                    network.advance(until);
                }
            }
        }
        for side in 0..2 {
            loop {
                settle(&mut network);
                match recv(&mut network, ends[side]) {
                    Ok(bytes) if bytes.is_empty() => break,
                    Ok(bytes) => received[side].extend(bytes),
                    Err(error) => {
                        prop_assert!(error != Errno::AGAIN && ended(&network), "{error}");
                        break;
                    }
                }
            }
            let peer = &sent[1 - side];
            prop_assert!(peer.starts_with(&received[side]));
            prop_assert!(received[side].len() == peer.len() || ended(&network));
        }
        network.close(client);
        network.close(server);
        settle(&mut network);
        prop_assert_eq!(network.connections(), 0);
    }
}
