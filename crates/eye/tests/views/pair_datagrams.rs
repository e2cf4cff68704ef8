//! Two sockets of datagrams that were recorded both, in one picture.

use std::net::SocketAddr;

use proptest::prelude::*;
use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, DIGESTED, Datagram, Datagrams, Direction, Stamp, digest};
use sockeye_eye::datagram::DatagramHistory;
use sockeye_eye::pair::{self, Clocks, DatagramFate, DatagramPair, End};
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use unicode_width::UnicodeWidthStr;

use Direction::{Received, Sent};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:5353";
/// Of which the server's socket says that it is at all addresses.
const ALL: &str = "0.0.0.0:5353";

/// How far the server's clock is ahead, in nanoseconds.
const AHEAD: u64 = 7_000_000;

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().expect("an address").into()
}

/// Both sockets of a conversation.
struct Two {
    client: DatagramHistory,
    server: DatagramHistory,
}

impl Two {
    fn new() -> Two {
        let opened = |local: &str, at| {
            DatagramHistory::new(&Datagrams { conn: ConnId(1), local: address(local), at })
        };
        let start = 1_000_000;
        Two { client: opened(CLIENT, Stamp(start)), server: opened(ALL, Stamp(start + AHEAD)) }
    }

    fn moved(&mut self, from: End, way: Direction, at: u64, content: &[u8], room: usize) {
        let at_client = (from == End::Client) == (way == Sent);
        let (socket, peer, ahead) = match at_client {
            true => (&mut self.client, SERVER, 0),
            false => (&mut self.server, CLIENT, AHEAD),
        };
        let index = socket.total(way).count;
        let (length, taken) = (content.len() as u64, content.len().min(room));
        let at = 1_000_000 + at * 1000 + ahead;
        let peer = address(peer);
        socket.add(&Datagram {
            direction: way,
            index,
            start: Stamp(at - 900),
            end: Stamp(at),
            asked: room as u64,
            length,
            taken: taken as u64,
            digest: (taken >= content.len().min(DIGESTED)).then(|| digest(length, [content])),
            peer: Some(&peer),
            result: Ok(()),
        });
        let label = String::from_utf8_lossy(&content[..taken]).into_owned();
        socket.name(way, index, if taken < 30 { &label } else { "" });
    }

    fn sends(&mut self, from: End, at: u64, content: &[u8]) -> &mut Two {
        self.moved(from, Sent, at, content, content.len());
        self
    }

    fn arrives(&mut self, from: End, at: u64, content: &[u8]) -> &mut Two {
        self.moved(from, Received, at, content, 1000);
        self
    }

    /// All that was seen until both sockets were closed, long after.
    fn pair(&mut self) -> DatagramPair {
        for socket in [&mut self.client, &mut self.server] {
            socket.closed = Some(Stamp(1_000_000_000));
        }
        self.open_pair()
    }

    /// The same while both are open.
    fn open_pair(&self) -> DatagramPair {
        DatagramPair::new(&self.client, &self.server, false).expect("they talked")
    }
}

/// Six questions: one is lost, one doubled, one overtaken by the next, one cut; and the answers.
fn conversation() -> Two {
    use End::{Client, Server};
    let mut two = Two::new();
    two.sends(Client, 10, b"GET a").arrives(Client, 130, b"GET a");
    two.sends(Server, 160, b"the answer").arrives(Server, 290, b"the answer");
    two.sends(Client, 300, b"GET b");
    two.sends(Client, 320, b"GET c").arrives(Client, 440, b"GET c").arrives(Client, 450, b"GET c");
    two.sends(Client, 500, b"GET d").sends(Client, 520, b"GET e");
    two.arrives(Client, 640, b"GET e").arrives(Client, 655, b"GET d");
    two.sends(Client, 700, &[b'x'; 500]);
    two.moved(Client, Received, 830, &[b'x'; 500], 20);
    two.sends(Server, 3000, b"so long").arrives(Server, 3130, b"so long");
    two
}

#[test]
fn what_was_lost_doubled_overtaken_and_cut_is_shown_and_counted() {
    let pair = conversation().pair();
    let [there, back] = &pair.ways[..] else { panic!("{:?}", pair.ways) };
    assert_eq!((there.lost, there.doubled, there.late), (Some(1), 1, 1));
    assert_eq!((back.lost, back.doubled, back.late), (Some(0), 0, 0));
    assert_eq!(there.fates[1], DatagramFate::Lost);
    let style = Style::default();
    super::compare("pair_datagrams", &view::datagram_pair(&pair, &style));
    let style = Style { width: 60, ascii: true, ..style };
    super::compare("pair_datagrams_60_ascii", &view::datagram_pair(&pair, &style));
    let style = Style { width: 40, ..Style::default() };
    super::compare("pair_datagrams_40", &view::datagram_pair(&pair, &style));
    let style = Style { lang: Lang::Zh, ..Style::default() };
    super::compare("pair_datagrams_zh", &view::datagram_pair(&pair, &style));
}

#[test]
fn the_clocks_are_bounded_by_what_was_sent_before_it_arrived() {
    let pair = conversation().pair();
    let Clocks::Apart { least, most } = pair.clocks else { panic!("{:?}", pair.clocks) };
    assert!((least..=most).contains(&AHEAD.cast_signed()), "{:?}", pair.clocks);
}

#[test]
fn of_several_alike_nobody_claims_to_know_which_one_was_lost() {
    let mut two = Two::new();
    for at in [10, 20, 30] {
        two.sends(End::Client, at, b"ping");
    }
    two.arrives(End::Client, 130, b"ping").arrives(End::Client, 150, b"ping");
    let pair = two.pair();
    assert_eq!(pair.ways[0].lost, Some(1));
    assert_eq!(pair.ways[0].fates, [DatagramFate::Unknown; 3]);
    let drawn = view::datagram_pair(&pair, &Style::default());
    assert_eq!(drawn.matches("4: ping ─?").count(), 3, "{drawn}");
}

#[test]
fn nothing_is_called_lost_where_the_receivers_eye_missed_something() {
    let mut two = Two::new();
    two.sends(End::Client, 10, b"one").sends(End::Client, 20, b"two");
    two.arrives(End::Client, 130, b"two");
    two.server.lost = 3;
    let pair = two.pair();
    assert_eq!(pair.ways[0].lost, None);
    assert_eq!(pair.ways[0].fates[0], DatagramFate::Unknown);
}

#[test]
fn nothing_is_called_lost_that_was_sent_when_the_receivers_recording_had_ended() {
    let mut two = Two::new();
    two.sends(End::Client, 10, b"one").sends(End::Client, 20, b"two");
    two.arrives(End::Client, 130, b"two").sends(End::Client, 300, b"three");
    let pair = two.open_pair();
    let way = &pair.ways[0];
    assert_eq!(way.lost, None);
    assert_eq!([way.fates[0], way.fates[2]], [DatagramFate::Lost, DatagramFate::Unknown]);
}

#[test]
fn if_nothing_arrived_all_is_lost() {
    let mut two = Two::new();
    two.sends(End::Client, 10, b"one").sends(End::Client, 20, b"two");
    let pair = two.pair();
    assert_eq!(pair.ways[0].lost, Some(2));
    assert_eq!(pair.ways[0].fates, [DatagramFate::Lost; 2]);
}

#[test]
fn of_many_the_latest_are_drawn_and_what_is_counted_may_be_more() {
    let mut two = Two::new();
    for number in 0..300_u64 {
        let content = format!("number {number}");
        two.sends(End::Client, 100 + number * 300, content.as_bytes());
        if number % 100 != 99 {
            two.arrives(End::Client, 150 + number * 300, content.as_bytes());
        }
    }
    let pair = two.pair();
    let way = &pair.ways[0];
    assert_eq!((way.lost, way.whole), (Some(3), false));
    assert_eq!(way.fates.iter().filter(|fate| **fate == DatagramFate::Lost).count(), 1);
    let drawn = view::datagram_pair(&pair, &Style::default());
    assert!(drawn.contains("297 arrived, 3 or more lost\n"), "{drawn}");
}

#[test]
fn of_two_sockets_with_one_address_none_is_taken_for_the_receiver() {
    let two = conversation();
    let servers = [two.server.clone(), two.server.clone()];
    let (pairs, alone) = pair::join_datagrams(&[two.client], &servers, false);
    assert!(pairs.is_empty());
    assert_eq!(alone, [vec![0], vec![0, 1]]);
}

proptest! {
    #[test]
    fn what_is_told_of_each_datagram_is_what_became_of_it(
        all in prop::collection::vec((0..4_u8, 0..5000_u64, 0..3_usize), 1..32),
        width in 40..130_usize,
        ascii: bool,
    ) {
        let mut two = Two::new();
        let mut arrivals = Vec::new();
        for (number, (kind, took, times)) in all.iter().enumerate() {
            // Some are alike.
            let content = match kind {
                0 => String::from("ping"),
                _ => format!("number {number}"),
            };
            let left = 10 + 40 * number as u64;
            two.sends(End::Client, left, content.as_bytes());
            for time in 0..*times as u64 {
                arrivals.push((left + 1 + took + 60 * time, content.clone(), number));
            }
        }
        arrivals.sort();
        for (at, content, _) in &arrivals {
            two.arrives(End::Client, *at, content.as_bytes());
        }
        let pair = two.pair();
        let way = &pair.ways[0];
        for (number, (kind, _, times)) in all.iter().enumerate() {
            match way.fates[number] {
                DatagramFate::Lost => prop_assert_eq!(*times, 0),
                DatagramFate::Arrived { times: told, .. } if *kind > 0 => {
                    prop_assert_eq!(told, *times as u64);
                }
                DatagramFate::Arrived { .. } => {}
                DatagramFate::Unknown => prop_assert_eq!(*kind, 0),
            }
        }
        let drawn = view::datagram_pair(&pair, &Style { width, ascii, ..Style::default() });
        for line in drawn.lines() {
            prop_assert!(line.width() <= width, "{}", drawn);
            prop_assert!(!ascii || line.is_ascii(), "{}", drawn);
        }
    }
}
