//! The room's rules, and what must hold whatever its people do.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::broker::{HubLimits, Next};
use crate::chat::PaceLimits;

fn room(bytes: usize) -> Room {
    Room::new(ChatOptions {
        limits: HubLimits { members: 10, bytes, messages: 1000 },
        pace: PaceLimits { per_second: 1000, burst: 10_000 },
        ..ChatOptions::default()
    })
}

/// What a person has been sent since it was last asked.
fn heard(room: &mut Room, id: MemberId) -> String {
    let mut batch = Vec::new();
    let cx = Context::from_waker(Waker::noop());
    while room.hub.poll_take(id, &mut batch, &cx) == Poll::Ready(Next::Messages) {}
    String::from_utf8(batch.concat()).expect("UTF-8")
}

fn named(room: &mut Room, name: &str) -> MemberId {
    let id = room.join(Duration::ZERO).expect("there is room");
    assert_eq!(room.line(id, name, Duration::ZERO), Line::Stays);
    heard(room, id);
    id
}

fn say(room: &mut Room, id: MemberId, line: &str) -> Line {
    room.line(id, line, Duration::ZERO)
}

#[test]
fn who_says_his_name_is_heard_and_hears() {
    let mut room = room(10_000);
    let ann = room.join(Duration::ZERO).expect("there is room");
    let bob = named(&mut room, "bob");
    assert_eq!(heard(&mut room, ann), "* your name?\n", "nothing before the name is said");
    say(&mut room, ann, "ann");
    assert_eq!(
        heard(&mut room, ann),
        "* you are ann, one of 2 here; /who lists all, /name NEW renames you, /quit leaves\n"
    );
    say(&mut room, ann, "hello");
    say(&mut room, bob, "//who is there");
    assert_eq!(heard(&mut room, bob), "* ann joined\nann: hello\n");
    assert_eq!(heard(&mut room, ann), "bob: /who is there\n");
    assert_eq!(say(&mut room, bob, "/quit"), Line::Leaves);
    room.end(bob, Why::Left);
    assert_eq!(heard(&mut room, ann), "* bob left\n");
}

#[test]
fn a_name_is_had_by_one_whatever_its_case() {
    let mut room = room(10_000);
    let ann = named(&mut room, "Ann");
    let bob = room.join(Duration::ZERO).expect("there is room");
    say(&mut room, bob, "ANN");
    assert_eq!(heard(&mut room, bob), "* your name?\n* ANN is taken; another name?\n");
    say(&mut room, bob, "bob");
    say(&mut room, bob, "/name ann");
    say(&mut room, ann, "/name ANN");
    say(&mut room, ann, "/name eve");
    say(&mut room, bob, "/name ann");
    say(&mut room, bob, "/who");
    let heard = heard(&mut room, bob);
    let lines: Vec<&str> = heard.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "* ann is taken; another name?",
            "* Ann is now ANN",
            "* ANN is now eve",
            "* bob is now ann",
            "* 2 here: eve, ann",
        ]
    );
}

#[test]
fn names_that_could_deceive_are_refused() {
    let mut room = room(100_000);
    let id = room.join(Duration::ZERO).expect("there is room");
    for name in ["", "a b", "a:b", "*", "/who", "\u{1b}[2J:", &"x".repeat(25)] {
        say(&mut room, id, name);
        assert!(!room.is_named(id), "{name:?}");
    }
    say(&mut room, id, "文件");
    assert!(room.is_named(id));
}

#[test]
fn control_characters_are_left_out() {
    let mut room = room(10_000);
    let (ann, bob) = (named(&mut room, "ann"), named(&mut room, "bob"));
    heard(&mut room, ann);
    say(&mut room, bob, "a\u{1b}[2Jb\tc\u{9b}\u{202e}d\u{7f}");
    assert_eq!(heard(&mut room, ann), "bob: a[2Jb cd\n");
}

#[test]
fn who_reads_too_slowly_is_told_and_dropped_and_the_others_hear_of_it() {
    let mut room = room(500);
    let (ann, bob) = (named(&mut room, "ann"), named(&mut room, "bob"));
    let slow = named(&mut room, "slow");
    for _ in 0..10 {
        say(&mut room, ann, &"x".repeat(100));
        heard(&mut room, bob);
        heard(&mut room, ann);
    }
    assert_eq!(heard(&mut room, slow), "* you were dropped: you read too slowly\n");
    say(&mut room, ann, "/who");
    assert_eq!(heard(&mut room, ann), "* 2 here: ann, bob\n");
    assert!(room.join(Duration::ZERO).is_some());
}

#[test]
fn who_talks_too_fast_is_warned_and_dropped() {
    let mut room = Room::new(ChatOptions {
        pace: PaceLimits { per_second: 1, burst: 3 },
        ..ChatOptions::default()
    });
    let ann = named(&mut room, "ann");
    let bob = named(&mut room, "bob");
    let stays: Vec<Line> = (0..8).map(|_| say(&mut room, bob, "spam")).collect();
    assert_eq!(stays.iter().filter(|stays| **stays == Line::Stays).count(), 5);
    let bob = heard(&mut room, bob);
    assert!(bob.starts_with("* you were dropped: too many lines\n"), "{bob}");
    let expected = "* bob joined\nbob: spam\nbob: spam\n* bob was dropped: too many lines\n";
    assert_eq!(heard(&mut room, ann), expected);
}

proptest! {
    /// Whatever people do, nobody holds more than the bound, and what each hears of the others is
    /// whole lines, in order, without control characters.
    #[test]
    fn nobody_upsets_the_room(
        steps in prop::collection::vec((0usize..4, 0usize..4, ".{0,40}"), 1..150),
    ) {
        let mut room = room(600);
        let mut ids: Vec<MemberId> =
            (0..4).map(|_| room.join(Duration::ZERO).expect("there is room")).collect();
        let mut ears = [(); 4].map(|()| String::new());
        let mut sent = 0;
        for (what, who, text) in steps {
            match what {
                0 => {
                    let more = heard(&mut room, ids[who]);
                    ears[who].push_str(&more);
                }
                1 if !room.people.contains_key(&ids[who]) => {
                    room.leave(ids[who]);
                    ids[who] = room.join(Duration::ZERO).expect("one has left");
                    ears[who].clear();
                }
                1 => {
                    let _ = say(&mut room, ids[who], &format!("name{who}"));
                }
                2 => {
                    let _ = say(&mut room, ids[who], &text);
                }
                _ => {
                    sent += 1;
                    let _ = say(&mut room, ids[who], &format!("number {sent}"));
                }
            }
            for id in &ids {
                prop_assert!(room.hub.held(*id) <= 600 + 60);
            }
        }
        let names: HashSet<_> = room.people.values().filter_map(|person| person.name.as_ref())
            .map(|name| name.to_lowercase()).collect();
        prop_assert_eq!(&names, &room.taken);
        for (id, ear) in ids.into_iter().zip(&mut ears) {
            ear.push_str(&heard(&mut room, id));
            prop_assert!(ear.is_empty() || ear.ends_with('\n'));
            let numbers: Vec<u64> = ear.lines()
                .filter_map(|line| line.split_once(": number ")?.1.parse().ok()).collect();
            prop_assert!(numbers.is_sorted());
            prop_assert!(ear.lines().all(|line| Escaped(line.as_bytes()).to_string() == line));
        }
    }
}
