//! One connection that was recorded at both its ends, in one picture.

use sockeye_engine::probe::Direction;
use sockeye_eye::pair::{self, Alone, Clocks, Fate, KnownBy, Pair};
use sockeye_eye::record::History;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::tcp::Flags;

use Direction::{Received, Sent};

use super::scene::Scene;

/// How far the server's clock is ahead in these stories, in nanoseconds.
const AHEAD: u64 = 12_400_000;

/// Both ends of one connection. What one does, the other sees a while later.
struct Two {
    client: Scene,
    server: Scene,
    /// Microseconds that everything is on its way.
    flight: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Client,
    Server,
}

impl Two {
    fn new(flight: u64) -> Two {
        Two { client: Scene::of_its_client(), server: Scene::new().ahead(AHEAD), flight }
    }

    /// With the server's clock so many nanoseconds ahead.
    fn ahead(self, nanos: u64) -> Two {
        Two { server: self.server.ahead(nanos), ..self }
    }

    /// Packets are seen at the client, at the server.
    fn capturing(mut self, client: bool, server: bool) -> Two {
        self.client.rewind(client, true);
        self.server.rewind(server, true);
        self
    }

    fn wait(&mut self, micros: u64) -> &mut Two {
        self.client.wait(micros);
        self.server.wait(micros);
        self
    }

    /// One of them does something, and it is seen at the other end.
    fn crosses(&mut self, from: From, what: impl Fn(&mut Scene, Direction)) -> &mut Two {
        let flight = self.flight;
        self.leaves(from, &what).wait(flight);
        match from {
            From::Client => what(&mut self.server, Received),
            From::Server => what(&mut self.client, Received),
        }
        self
    }

    /// It is never seen there.
    fn leaves(&mut self, from: From, what: impl Fn(&mut Scene, Direction)) -> &mut Two {
        match from {
            From::Client => what(&mut self.client, Sent),
            From::Server => what(&mut self.server, Sent),
        }
        self
    }

    fn data(&mut self, from: From, length: u32) -> &mut Two {
        self.crosses(from, |scene, way| {
            scene.data(way, length);
        })
    }

    fn ack(&mut self, from: From) -> &mut Two {
        self.crosses(from, |scene, way| {
            scene.ack(way);
        })
    }

    fn fin(&mut self, from: From) -> &mut Two {
        self.crosses(from, |scene, way| {
            scene.fin(way);
        })
    }

    fn open(&mut self) -> &mut Two {
        self.client.connect(2 * self.flight + 30);
        self.wait(12).crosses(From::Client, |scene, way| {
            scene.segment(way, Flags::SYN, -1, 0, None);
        });
        self.wait(6).crosses(From::Server, |scene, way| {
            scene.segment(way, Flags::SYN, -1, 0, Some(0));
        });
        self.wait(9).ack(From::Client);
        self.server.wait(31).accept();
        self.client.wait(31);
        self
    }

    /// The client ends it, and the server does as soon as it knows.
    fn close(&mut self) -> &mut Two {
        self.wait(900);
        self.client.shutdown();
        self.wait(11).fin(From::Client);
        self.server.wait(18).recv(0).wait(12).close();
        self.client.wait(30);
        self.wait(7).fin(From::Server).wait(5).ack(From::Client);
        self.client.wait(14).recv(0).wait(10).close();
        self
    }

    fn ends(self) -> (History, History) {
        (self.client.into_talk(), self.server.into_talk())
    }

    fn joined(self) -> Pair {
        let (client, server) = self.ends();
        let mut joined = pair::join(vec![server], vec![client], false);
        assert!(joined.alone.iter().all(Vec::is_empty), "{:?}", joined.alone);
        joined.pairs.pop().expect("one pair")
    }
}

/// Five small messages in five calls, which Nagle's algorithm and the receiver make one read of.
fn sticky() -> Two {
    sticky_of(Two::new(120))
}

fn sticky_of(mut two: Two) -> Two {
    two.open();
    let lengths = [6_u32, 7, 6, 7, 4];
    let labels = ["GET a", "PUT bb", "DEL c", "GET dd", "BYE"];
    let mut offset = 0;
    for (length, label) in lengths.into_iter().zip(labels) {
        let length = u64::from(length);
        two.client.message(Sent, offset, length, label).send(length).wait(20);
        two.server.wait(20);
        offset += length;
        if offset == 6 {
            two.leaves(From::Client, |scene, way| {
                scene.data(way, 6);
            });
        }
    }
    two.wait(40);
    two.server.data(Received, 6);
    two.wait(10).ack(From::Server);
    two.wait(8).data(From::Client, 24).wait(14).ack(From::Server);
    two.wait(60_000);
    two.server.recv(30);
    let mut offset = 0;
    for (length, label) in lengths.into_iter().zip(labels) {
        two.server.message(Received, offset, length.into(), label);
        offset += u64::from(length);
    }
    two.close();
    two
}

/// The first copy of the request is lost, and one of the answer's two segments.
fn lossy() -> Two {
    let mut two = Two::new(400);
    let request = |scene: &mut Scene, way| {
        scene.segment(way, Flags::PSH, 0, 78, Some(0));
    };
    let answer = |start: i64| {
        move |scene: &mut Scene, way| {
            scene.segment(way, Flags::PSH, start, 1000, Some(78));
        }
    };
    two.open().wait(50);
    two.client.message(Sent, 0, 78, "GET /").send(78);
    two.wait(9).leaves(From::Client, request);
    two.wait(204_000).crosses(From::Client, request);
    two.wait(12).server.recv(78).message(Received, 0, 78, "GET /");
    two.wait(30).server.message(Sent, 0, 2000, "200 OK").send(2000);
    two.wait(8).leaves(From::Server, answer(0));
    two.wait(2).crosses(From::Server, answer(1000));
    two.wait(210_000).crosses(From::Server, answer(0));
    two.wait(20).client.recv(2000).message(Received, 0, 2000, "200 OK");
    two.wait(5).ack(From::Client).close();
    two
}

fn check(name: &str, pair: &Pair, style: &Style) {
    super::compare(name, &view::pair(pair, style));
}

#[test]
fn five_messages_are_one_read() {
    let pair = sticky().joined();
    assert_eq!(pair.known_by, KnownBy::AddressesAndIsn);
    check("pair_sticky", &pair, &Style::default());
    check("pair_sticky_80_ascii", &pair, &Style { width: 80, ascii: true, ..Style::default() });
    check("pair_sticky_40", &pair, &Style { width: 40, ..Style::default() });
}

#[test]
fn what_is_lost_does_not_arrive() {
    let pair = lossy().joined();
    assert_eq!(pair.count(Fate::Lost), 2);
    check("pair_lossy", &pair, &Style { width: 120, ..Style::default() });
}

#[test]
fn of_a_recording_that_was_cut_short_nobody_says_that_the_connection_is_open() {
    let mut two = Two::new(120);
    two.open().wait(50).data(From::Client, 30).ack(From::Server);
    let drawn = view::pair(&two.joined(), &Style::default());
    assert!(drawn.contains("its recording ends before it does"), "{drawn}");
    assert!(!drawn.contains("is still open"), "{drawn}");
}

#[test]
fn with_fewer_columns_than_a_picture_takes_there_are_the_verdicts_alone() {
    let style = Style { width: 39, ..Style::default() };
    let drawn = view::pair(&sticky().joined(), &style);
    assert_eq!(drawn.lines().count(), 2, "{drawn}");
}

#[test]
fn a_clock_that_is_further_ahead_changes_nothing_but_the_line_about_clocks() {
    let drawn = |ahead| {
        let pair = sticky_of(Two::new(120).ahead(ahead)).joined();
        view::pair(&pair, &Style::default())
    };
    let (near, far) = (drawn(AHEAD), drawn(AHEAD + 3_700_000_000));
    let but_the_clocks = |drawn: &str| {
        let lines = drawn.lines().filter(|line| !line.starts_with("  clocks  "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(but_the_clocks(&near), but_the_clocks(&far));
    assert!(far.contains("  clocks  the server's is 3,712.40 ms ahead, ± 0.12 ms\n"), "{far}");
}

#[test]
fn without_packets_at_one_end_its_calls_stand_beside_the_segments_of_the_other() {
    let pair = sticky_of(Two::new(120).capturing(true, false)).joined();
    // The client knows the initial sequence numbers, the server none.
    assert_eq!(pair.known_by, KnownBy::Addresses);
    check("pair_half", &pair, &Style::default());
    let pair = sticky_of(Two::new(120).capturing(false, true)).joined();
    check("pair_other_half", &pair, &Style::default());
}

#[test]
fn without_any_packets_there_are_the_calls_of_both() {
    let (client, server) = sticky_of(Two::new(120).ahead(0).capturing(false, false)).ends();
    let pair = pair::join(vec![client], vec![server], true).pairs.pop().expect("one pair");
    assert_eq!(pair.clocks, Clocks::One);
    check("pair_calls", &pair, &Style::default());
}

#[test]
fn a_clock_that_was_set_meanwhile_leaves_each_end_a_ladder_of_its_own() {
    let mut two = Two::new(120);
    two.open().wait(40).data(From::Client, 6).wait(10).ack(From::Server);
    two.wait(300).server.set_clock(AHEAD + 5_000_000_000);
    two.data(From::Client, 6).wait(10).ack(From::Server);
    two.wait(300).server.set_clock(AHEAD);
    two.data(From::Client, 6).wait(10).ack(From::Server).close();
    let (client, server) = two.ends();
    let pair = Pair::new(client, server, KnownBy::Addresses, false);
    assert_eq!(pair.clocks, Clocks::Contradictory);
    let drawn = view::pair(&pair, &Style::default());
    for here in ["client (here)", "server (here)", "  clocks  one of them was set meanwhile"] {
        assert_eq!(drawn.matches(here).count(), 1, "{drawn}");
    }
}

#[test]
fn connections_that_nothing_tells_apart_are_not_joined() {
    let blind = || sticky_of(Two::new(120).capturing(false, false)).ends();
    let ((one, there), (two, _)) = (blind(), blind());
    let joined = pair::join(vec![one, two], vec![there], false);
    assert!(joined.pairs.is_empty());
    let why =
        joined.alone.each_ref().map(|all| all.iter().map(|(_, why)| *why).collect::<Vec<_>>());
    assert_eq!(why, [vec![Alone::Ambiguous, Alone::Ambiguous], vec![Alone::Ambiguous]]);
}

#[test]
fn behind_other_addresses_both_initial_sequence_numbers_tell() {
    let (client, mut server) = sticky().ends();
    let moved: std::net::SocketAddr = "203.0.113.9:61000".parse().expect("an address");
    server.peer = moved.into();
    let joined = pair::join(vec![client.clone()], vec![server.clone()], false);
    let [pair] = &joined.pairs[..] else { panic!("{:?}", joined.alone) };
    assert_eq!(pair.known_by, KnownBy::Isn);
    let drawn = view::pair(pair, &Style::default());
    let words = drawn.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("at the server its addresses are 203.0.113.9:61000 ─▶ 127.0.0.1:8080"),
        "{drawn}"
    );
    // With one of the numbers alone it is not certain any more.
    server.isn[1] = None;
    let joined = pair::join(vec![client], vec![server], false);
    assert!(joined.pairs.is_empty());
    assert!(joined.alone.iter().flatten().all(|(_, why)| *why == Alone::NotThere));
}

#[test]
fn another_connection_of_the_same_ports_is_not_this_one() {
    let (client, mut server) = sticky().ends();
    for isn in server.isn.iter_mut().flatten() {
        isn.0 = isn.0.wrapping_add(1);
    }
    let joined = pair::join(vec![client], vec![server], false);
    assert!(joined.pairs.is_empty());
}

#[test]
fn in_chinese_too() {
    let style = Style { lang: Lang::Zh, ..Style::default() };
    check("pair_lossy_zh", &lossy().joined(), &style);
}
