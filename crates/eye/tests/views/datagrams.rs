//! Pictures of sockets of datagrams.

use std::net::SocketAddr;

use proptest::prelude::*;
use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Datagram, Datagrams, Direction, Reported, Stamp};
use sockeye_eye::datagram::DatagramHistory;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use unicode_width::UnicodeWidthStr;

const SERVER: &str = "127.0.0.1:5353";
const CLIENT: &str = "[2001:db8::4a2b:1]:40000";

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().expect("an address").into()
}

fn opened(local: &str) -> DatagramHistory {
    DatagramHistory::new(&Datagrams {
        conn: ConnId(3),
        local: address(local),
        at: Stamp(1_000_000),
    })
}

/// Adds one, `at` microseconds after the socket was made.
fn moved(history: &mut DatagramHistory, way: Direction, at: u64, size: (u64, u64), label: &str) {
    let index = history.total(way).count;
    let (start, end) = (Stamp(1_000_000 + at * 1000 - 900), Stamp(1_000_000 + at * 1000));
    let (taken, length) = size;
    let peer = address(CLIENT);
    history.add(&Datagram {
        direction: way,
        index,
        start,
        end,
        asked: taken,
        length,
        taken,
        digest: None,
        peer: Some(&peer),
        result: Ok(()),
    });
    history.name(way, index, label);
}

/// Questions and answers, one that is cut, and one that nobody gets.
fn conversation() -> DatagramHistory {
    use Direction::{Received, Sent};
    let mut history = opened(SERVER);
    for (at, size, label) in [(31, 6, "GET a"), (44, 7, "PUT bb"), (52, 6, "DEL c")] {
        moved(&mut history, Received, at, (size, size), label);
    }
    moved(&mut history, Sent, 95, (12, 12), "文件 and \x1b[2J");
    moved(&mut history, Received, 40_300, (20, 1000), "a message that is longer than its room");
    moved(&mut history, Received, 41_200, (0, 0), "");
    moved(&mut history, Sent, 41_400, (2, 2), "");
    let to = address(CLIENT);
    history.report(&Reported {
        at: Stamp(42_600_000),
        errno: libc::ECONNREFUSED,
        to: Some(&to),
        offender: None,
    });
    history.add(&Datagram {
        direction: Sent,
        index: 2,
        start: Stamp(52_600_000),
        end: Stamp(52_610_000),
        asked: 70_000,
        length: 70_000,
        taken: 0,
        digest: None,
        peer: Some(&to),
        result: Err(libc::EMSGSIZE),
    });
    history.closed = Some(Stamp(60_000_000));
    history
}

fn check(name: &str, history: &DatagramHistory, style: &Style) {
    super::compare(name, &view::datagrams(history, style));
}

#[test]
fn questions_and_answers() {
    check("datagrams", &conversation(), &Style::default());
}

#[test]
fn questions_and_answers_in_sixty_columns_of_ascii() {
    let style = Style { width: 60, ascii: true, ..Style::default() };
    check("datagrams_60_ascii", &conversation(), &style);
}

#[test]
fn questions_and_answers_in_the_fewest_columns() {
    check("datagrams_40", &conversation(), &Style { width: 40, ..Style::default() });
}

#[test]
fn questions_and_answers_in_chinese() {
    for (name, width) in [("zh_datagrams", 100), ("zh_datagrams_40", 40)] {
        let style = Style { lang: Lang::Zh, width, ..Style::default() };
        check(name, &conversation(), &style);
    }
}

#[test]
fn of_many_the_latest_are_drawn() {
    let mut history = opened(SERVER);
    for number in 0..12_000 {
        moved(&mut history, Direction::Received, 10 + number * 400, (100, 100), "");
    }
    check("datagrams_many", &history, &Style::default());
}

proptest! {
    #[test]
    fn no_line_is_too_wide_whatever_came(
        width in 40..130_usize,
        ascii: bool,
        chinese: bool,
        all in prop::collection::vec(
            (any::<bool>(), any::<u32>(), any::<u64>(), 0..2000_u64, ".{0,50}", 0..140_i32),
            0..80,
        ),
    ) {
        let mut history = opened(SERVER);
        let to = address(CLIENT);
        for (sent, later, length, taken, label, errno) in all {
            let way = if sent { Direction::Sent } else { Direction::Received };
            let at = u64::from(later) + 1;
            if errno > 120 {
                let at = Stamp(at);
                history.report(&Reported { at, errno, to: Some(&to), offender: None });
            } else {
                moved(&mut history, way, at, (taken.min(length), length), &label);
            }
        }
        let lang = if chinese { Lang::Zh } else { Lang::En };
        let style = Style { width, ascii, lang, ..Style::default() };
        let drawn = view::datagrams(&history, &style);
        for line in drawn.lines() {
            prop_assert!(line.width() <= width, "{}", drawn);
            prop_assert!(!line.contains(char::is_control), "{}", drawn);
        }
    }
}
