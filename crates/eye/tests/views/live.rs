//! The live face, key by key, on screens of all sizes.

use std::sync::Arc;

use proptest::prelude::*;
use sockeye_engine::probe::Direction::{Received, Sent};
use sockeye_engine::probe::Stamp;
use sockeye_eye::record::History;
use sockeye_eye::recorder::{Row, Snapshot};
use sockeye_eye::view::Style;
use sockeye_eye::view::live::{Face, Key};
use sockeye_eye::words::Lang;
use unicode_width::UnicodeWidthStr as _;

use super::compare;
use super::scene::Scene;

/// One that is open, one that was closed, and one that was reset, with these numbers.
fn scenes() -> [History; 3] {
    let mut open = Scene::of_others();
    open.open().wait(60).data(Received, 4_000).wait(3).ack(Sent);
    let mut closed = Scene::of_others();
    closed.open().wait(60).data(Received, 78).wait(3).ack(Sent).wait(300).data(Sent, 216);
    closed.wait(9).ack(Received).wait(80).fin(Received).wait(30).fin(Sent).wait(8).ack(Received);
    let mut reset = Scene::of_others();
    reset.open().wait(60).data(Received, 7).wait(3).reset(Sent);
    let mut number = 0;
    [open, closed, reset].map(|scene| {
        number += 1;
        History { number, ..scene.history().clone() }
    })
}

fn now(history: &History, seconds: u64) -> Option<Stamp> {
    let (first, _) = history.course.span.expect("something happened");
    Some(Stamp(first.0 + seconds * 1_000_000_000))
}

fn face() -> Face {
    let [open, closed, reset] = scenes();
    let mut face = Face::new("tcp://127.0.0.1:8080");
    for seconds in [3, 4] {
        let rows = [&open, &closed].map(Row::of_ended).to_vec();
        face.take(Snapshot { at: now(&open, seconds), rows, ..Snapshot::default() });
    }
    face.ended(Arc::new(closed));
    face.ended(Arc::new(reset));
    face
}

fn screen(face: &mut Face, columns: usize, lines: usize, style: &Style) -> String {
    face.draw(columns, lines, style).join("\n") + "\n"
}

#[test]
fn the_list_on_a_usual_screen() {
    compare("live_list", &screen(&mut face(), 100, 10, &Style::default()));
}

#[test]
fn the_list_on_the_smallest_screen() {
    let style = Style { ascii: true, ..Style::default() };
    compare("live_list_40", &screen(&mut face(), 40, 10, &style));
}

#[test]
fn the_list_and_a_picture_in_chinese() {
    let style = Style { lang: Lang::Zh, ..Style::default() };
    let mut face = face();
    compare("zh_live_list", &screen(&mut face, 100, 10, &style));
    face.key(Key::Letter('p'));
    compare("zh_live_list_40", &screen(&mut face, 40, 10, &style));
    face.key(Key::Letter('p'));
    face.key(Key::Down);
    face.key(Key::Enter);
    compare("zh_live_ladder", &screen(&mut face, 80, 24, &style));
}

#[test]
fn an_empty_list_says_so() {
    let mut face = Face::new("tcp://127.0.0.1:8080");
    let drawn = screen(&mut face, 80, 10, &Style::default());
    assert!(drawn.contains("0 open") && drawn.contains("no connection yet"), "{drawn}");
}

#[test]
fn enter_opens_tab_goes_on_and_escape_goes_back() {
    let mut face = face();
    face.key(Key::Down);
    face.key(Key::Down);
    assert_eq!(face.wants(), None, "nobody looks at one");
    face.key(Key::Enter);
    assert_eq!(face.wants(), Some(2));
    compare("live_ladder", &screen(&mut face, 80, 24, &Style::default()));
    face.key(Key::Tab);
    compare("live_rulers", &screen(&mut face, 80, 24, &Style::default()));
    face.key(Key::Tab);
    let drawn = screen(&mut face, 80, 24, &Style::default());
    assert!(drawn.contains("[findings]") && drawn.contains("the client closed first"), "{drawn}");
    face.key(Key::Tab);
    assert!(screen(&mut face, 80, 24, &Style::default()).contains("[ladder]"));
    face.key(Key::BackTab);
    assert!(screen(&mut face, 80, 24, &Style::default()).contains("[findings]"));
    face.key(Key::Escape);
    assert!(screen(&mut face, 80, 24, &Style::default()).contains("Enter open"));
}

#[test]
fn one_that_is_open_is_drawn_as_it_grows_and_stays_selected_when_it_ends() {
    let [open, closed, _] = scenes();
    let mut face = Face::new("it");
    let snapshot = |history: &History, selected: Option<u64>| Snapshot {
        at: now(history, 1),
        rows: vec![Row::of_ended(history)],
        selected: selected.map(|_| Box::new(history.clone())),
        ..Snapshot::default()
    };
    face.take(snapshot(&open, face.wants()));
    face.key(Key::Enter);
    let drawn = screen(&mut face, 80, 24, &Style::default());
    assert!(drawn.contains("waiting for the eye"), "{drawn}");
    face.take(snapshot(&open, face.wants()));
    let drawn = screen(&mut face, 80, 24, &Style::default());
    assert!(drawn.contains("[0..4000)") && !drawn.contains("FIN"), "{drawn}");
    // The same one, further on.
    face.ended(Arc::new(History { number: 1, ..closed }));
    face.take(Snapshot::default());
    let drawn = screen(&mut face, 80, 24, &Style::default());
    assert!(drawn.contains("FIN+ACK"), "{drawn}");
}

#[test]
fn paused_it_shows_what_it_showed() {
    let mut face = face();
    face.key(Key::Letter('p'));
    face.take(Snapshot::default());
    let drawn = screen(&mut face, 100, 10, &Style::default());
    assert!(drawn.contains("1 open") && drawn.contains("paused"), "{drawn}");
    face.key(Key::Letter('p'));
    face.take(Snapshot::default());
    let drawn = screen(&mut face, 100, 10, &Style::default());
    assert!(drawn.contains("0 open") && !drawn.contains("paused"), "{drawn}");
}

#[test]
fn a_filter_leaves_those_that_have_it() {
    let mut face = face();
    face.key(Key::Letter('/'));
    "sdr".chars().for_each(|letter| face.key(Key::Letter(letter)));
    let drawn = screen(&mut face, 100, 10, &Style::default());
    assert!(drawn.contains("/sdr_") && !drawn.contains("CDF"), "{drawn}");
    face.key(Key::Enter);
    let drawn = screen(&mut face, 100, 10, &Style::default());
    assert!(drawn.contains("SDR") && drawn.contains("only those with \"sdr\""), "{drawn}");
    // q is a letter of the filter, and quits only behind it.
    face.key(Key::Letter('/'));
    face.key(Key::Letter('q'));
    assert!(!face.is_over());
    assert!(screen(&mut face, 100, 10, &Style::default()).contains("lets through"));
    face.key(Key::Escape);
    assert!(screen(&mut face, 100, 10, &Style::default()).contains("CDF"));
    face.key(Key::Letter('q'));
    assert!(face.is_over());
}

#[test]
fn a_picture_longer_than_the_screen_is_scrolled() {
    let mut face = face();
    face.key(Key::Down);
    face.key(Key::Down);
    face.key(Key::Enter);
    let style = Style::default();
    let top = screen(&mut face, 80, 10, &style);
    assert!(top.contains("SYN-SENT") && !top.contains("TIME-WAIT"), "{top}");
    face.key(Key::End);
    let end = screen(&mut face, 80, 10, &style);
    assert!(end.contains("TIME-WAIT") && end.contains("Home begin"), "{end}");
    face.key(Key::Up);
    let above = screen(&mut face, 80, 10, &style);
    assert!(above != end && above.contains("TIME-WAIT"), "{above}");
    face.key(Key::Home);
    assert_eq!(screen(&mut face, 80, 10, &style), top);
    for _ in 0..100 {
        face.key(Key::Down);
    }
    assert_eq!(screen(&mut face, 80, 10, &style).replace("End follow", "Home begin"), end);
}

#[test]
fn without_colour_there_is_no_escape_on_the_screen_and_with_it_there_is() {
    let plain = screen(&mut face(), 100, 10, &Style::default());
    assert!(!plain.contains('\x1b'), "{plain:?}");
    let colour = screen(&mut face(), 100, 10, &Style { colour: true, ..Style::default() });
    assert!(colour.contains("\x1b["), "{colour:?}");
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Up),
        Just(Key::Down),
        Just(Key::PageUp),
        Just(Key::PageDown),
        Just(Key::Home),
        Just(Key::End),
        Just(Key::Enter),
        Just(Key::Escape),
        Just(Key::Tab),
        Just(Key::BackTab),
        Just(Key::Backspace),
        prop_oneof!["[/pqjk ]", "\\PC"]
            .prop_map(|text| { Key::Letter(text.chars().next().expect("one letter")) }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_pressed_every_line_fits_and_all_are_there(
        keys in proptest::collection::vec(key(), 0..30),
        columns in 1_usize..250,
        lines in 1_usize..60,
        ascii: bool,
        chinese: bool,
    ) {
        let mut face = face();
        face.say("eye: something\x1b[31m was said");
        let lang = if chinese { Lang::Zh } else { Lang::En };
        let style = Style { ascii, lang, ..Style::default() };
        for key in keys {
            face.key(key);
            let drawn = face.draw(columns, lines, &style);
            prop_assert_eq!(drawn.len(), lines);
            for line in &drawn {
                prop_assert!(line.width() <= columns, "{line:?} in {columns}");
                prop_assert!(!line.contains('\x1b') && (!ascii || line.is_ascii()), "{line:?}");
            }
        }
    }
}
