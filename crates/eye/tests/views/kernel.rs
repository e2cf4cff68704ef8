//! What the kernel tells besides calls: stamps of what was sent, samples of queues, and states without
//! packets.

use sockeye_engine::probe::Direction::{Received, Sent};
use sockeye_engine::probe::Role;
use sockeye_eye::record::{KernelFacts, Point};
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_wire::tcp::State;

use super::check;
use super::scene::{Queue, Scene};

/// Five messages under Nagle: the first segment leaves alone, the others wait for its ACK.
fn joined(scene: &mut Scene, wire: bool) {
    if wire {
        scene.open();
    } else {
        scene.accept();
    }
    let sizes = [6, 7, 6, 7, 4];
    let mut from = 0;
    for size in sizes {
        scene.wait(9).message(Sent, from, size, &format!("PUT {size}")).send(size);
        from += size;
        if from == 6 {
            scene.wait(3).data(Sent, 6).stamp(Point::Scheduled, 6).stamp(Point::Sent, 6);
        }
    }
    scene.wait(40_000).ack(Received).stamp(Point::Acked, 6).wait(2).data(Sent, 24);
    scene.stamp(Point::Scheduled, 30).stamp(Point::Sent, 30).wait(9).ack(Received);
    scene.stamp(Point::Acked, 30);
}

#[test]
fn two_stamps_for_five_calls() {
    let mut scene = Scene::new();
    joined(&mut scene, true);
    check("stamps", scene.history(), &Style::default());
}

#[test]
fn two_stamps_in_the_fewest_columns_and_without_packets() {
    let mut scene = Scene::without_capture();
    joined(&mut scene, false);
    check(
        "stamps_40_ascii",
        scene.history(),
        &Style { width: 40, ascii: true, ..Style::default() },
    );
}

#[test]
fn what_is_sent_again_is_stamped_again_and_drawn_once() {
    let mut scene = Scene::without_capture();
    scene.accept().send(10).stamp(Point::Sent, 10).wait(200_000).stamp(Point::Sent, 10);
    let picture = view::picture(scene.history(), &Style::default());
    assert!(picture.contains("1 stamp for 1 call"), "{picture}");
}

#[test]
fn what_no_stamp_was_asked_for_is_left_blank() {
    let mut scene = Scene::without_capture();
    scene.accept();
    for call in 1..=20 {
        scene.wait(5).send(10);
        match call {
            1..=4 => scene.stamp(Point::Sent, 10 * call),
            16 => scene.stamp_of(Point::Sent, 150..160),
            _ => &mut scene,
        };
    }
    let style = Style { ascii: true, width: 100, ..Style::default() };
    let picture = view::picture(scene.history(), &style);
    let row = picture.lines().find(|line| line.contains("k.SND")).expect("a row of stamps");
    let (bar, caption) = row.split_once("5 stamps for 20 calls").expect(row);
    assert_eq!(caption, "");
    let (first, after) = bar.split_once("|10|10|10|10|").expect(row);
    let (blank, last) = after.split_once("|10|").expect(row);
    assert_eq!((first.trim(), blank.trim(), last.trim()), ("k.SND", "", ""), "{row}");
    assert!(blank.len() > 20 && last.len() > 8, "{row}");
}

#[test]
fn of_many_stamps_those_left_out_are_a_crowd() {
    let mut scene = Scene::keeping(4, false);
    scene.accept();
    for call in 1..=100 {
        scene.wait(5).send(10).stamp(Point::Sent, 10 * call);
    }
    let picture = view::picture(scene.history(), &Style::default());
    let row = picture.lines().find(|line| line.contains("k.SND")).expect("a row of stamps");
    assert!(row.ends_with("100 stamps") && row.contains("▒▒▒▒▒▒"), "{row}");
}

/// The client takes nothing for a second while its window is closed.
fn slow_reader(mut scene: Scene) -> Scene {
    scene.accept().wait(9).send(300_000).wait(5_000);
    let full = Queue { receive: 131_072, send: 0, window: 0 };
    let waiting = Queue { receive: 0, send: 168_928, window: 65_536 };
    for _ in 0..5 {
        scene.queue(Role::Client, State::Established, full);
        scene.queue(Role::Server, State::Established, waiting).wait(200_000);
    }
    let empty = Queue { receive: 0, send: 0, window: 65_536 };
    // A state is drawn that two samples found.
    for _ in 0..2 {
        scene.queue(Role::Client, State::FinWait2, empty);
        scene.queue(Role::Server, State::CloseWait, empty).wait(500_000);
    }
    scene.queue(Role::Client, State::TimeWait, empty).recv(0).wait(9).close();
    scene
}

#[test]
fn queues_tell_who_does_not_read_and_states_are_exact_without_packets() {
    check("slow_reader", &slow_reader(Scene::without_capture()).whole(), &Style::default());
}

#[test]
fn queues_in_the_fewest_columns() {
    let style = Style { width: 40, ascii: true, ..Style::default() };
    check("slow_reader_40", &slow_reader(Scene::without_capture()).whole(), &style);
}

#[test]
fn one_sample_of_a_queue_is_not_worth_a_line() {
    let mut scene = Scene::without_capture();
    let some = Queue { receive: 0, send: 9, window: 65_536 };
    scene.accept().send(9).queue(Role::Server, State::Established, some).wait(90).close();
    let picture = view::picture(&scene.whole(), &Style::default());
    assert!(!picture.contains("queue"), "{picture}");
}

#[test]
fn a_stamp_that_is_missing_at_the_end_is_said() {
    let facts = |acked| KernelFacts {
        state: Some(State::Established),
        bytes_acked: Some(acked),
        ..KernelFacts::default()
    };
    for (acked, missed) in [(30, false), (31, true)] {
        let mut scene = Scene::without_capture();
        joined(&mut scene, false);
        scene.send(1).wait(90).kernel(facts(acked)).close();
        let line = verdict::line(&scene.whole());
        assert_eq!(line.contains("the eye missed a kernel stamp"), missed, "{line}");
    }
}

#[test]
fn without_packets_the_kernels_counts_tell_what_was_sent_again() {
    let facts = |again| KernelFacts { retransmits: Some(again), ..KernelFacts::default() };
    for (last, said) in [(None, "2 segments sent again"), (Some(5), "5 segments sent again")] {
        let mut scene = Scene::without_capture();
        scene.accept().wait(9).send(10).wait(900_000).kernel(facts(2)).close();
        if let Some(again) = last {
            scene.let_go(Role::Server, facts(again));
        }
        let line = verdict::line(&scene.whole());
        assert!(line.contains(said), "{line}");
    }
}

#[test]
fn a_fin_is_not_among_the_bytes_of_a_last_word() {
    let facts = |bytes| KernelFacts {
        bytes_acked: Some(bytes),
        bytes_received: Some(bytes),
        ..KernelFacts::default()
    };
    let mut scene = Scene::without_capture();
    scene.accept().recv(10).send(10).wait(9).recv(0).wait(9).close();
    scene.let_go(Role::Server, facts(11)).let_go(Role::Client, facts(11));
    let history = scene.whole();
    for end in history.ends.iter().flatten() {
        let counts = (end.facts.bytes_acked, end.facts.bytes_received);
        assert_eq!(counts, (Some(10), Some(10)), "{:?}", end.end);
    }
}
