//! Pictures of whole connections, compared character by character with those in `tests/golden`.

mod any;
mod datagrams;
mod findings;
mod kernel;
mod layers;
mod live;
mod others;
mod pair;
mod pair_datagrams;
mod scene;

use std::fs;
use std::path::PathBuf;

use Direction::{Received, Sent};
use scene::Scene;
use sockeye_engine::probe::{Direction, Operation};
use sockeye_eye::record::{History, KernelFacts, Loss};
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_wire::tcp::{Flags, State};

#[test]
fn one_request_closed_by_the_client() {
    let scene = curl();
    assert!(scene.finished_on_the_wire());
    check("curl", scene.history(), &Style::default());
}

#[test]
fn one_request_in_ascii_and_eighty_columns() {
    let style = Style { width: 80, ascii: true, ..Style::default() };
    check("curl_80_ascii", curl().history(), &style);
}

#[test]
fn one_request_in_a_hundred_and_twenty_columns() {
    check("curl_120", curl().history(), &Style { width: 120, ..Style::default() });
}

#[test]
fn one_request_in_sixty_columns() {
    check("curl_60", curl().history(), &Style { width: 60, ..Style::default() });
}

#[test]
fn one_request_in_the_fewest_columns() {
    check("curl_40", curl().history(), &Style { width: 40, ..Style::default() });
}

#[test]
fn with_fewer_columns_there_is_the_verdict_alone() {
    let style = Style { width: 39, ..Style::default() };
    let picture = view::picture(curl().history(), &style);
    assert_eq!(picture, format!("{}\n", verdict::line(curl().history())));
}

#[test]
fn one_request_in_colour() {
    check("curl_colour", curl().history(), &Style { colour: true, ..Style::default() });
}

#[test]
fn time_in_the_backlog_is_part_of_the_account() {
    let mut scene = Scene::new();
    scene.segment(Received, Flags::SYN, -1, 0, None).wait(9);
    scene.segment(Sent, Flags::SYN, -1, 0, Some(0)).wait(12);
    scene.segment(Received, Flags::NONE, 0, 0, Some(0)).wait(30).data(Received, 78);
    scene.wait(40_000).accept().wait(30).recv(78).message(Received, 0, 78, "GET /");
    scene.wait(60).message(Sent, 0, 216, "200 0 bytes").send(216).wait(9).data(Sent, 216);
    scene.wait(22).ack(Received).wait(50).fin(Received).wait(6).recv(0).wait(9).close();
    scene.wait(4).fin(Sent).wait(8).ack(Received);
    let line = verdict::line(scene.history());
    assert_eq!(scene.history().spent.backlog, 40_033_000);
    assert!(line.contains(" from handshake to close: 40.0 waiting to be accepted, "), "{line}");
    adds_up(&line);
}

/// Two messages of the client, the second of which comes `cut` bytes short, and one of the server.
fn talk(cut: u64) -> Scene {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 20).wait(9).recv(20 - cut);
    scene.message(Received, 0, 8, "one");
    if cut == 0 {
        scene.message(Received, 8, 12, "and two");
    }
    scene.wait(30).message(Sent, 0, 5, "five").send(5).wait(9).data(Sent, 5).ack(Received);
    scene.wait(50).fin(Received).wait(6).recv(0).wait(9).close().wait(4).fin(Sent);
    scene.wait(8).ack(Received);
    scene
}

#[test]
fn who_talks_owes_no_answers() {
    let asked = verdict::line(talk(0).history());
    assert!(asked.starts_with("CAF  ") && asked.contains(", after 2 requests, "), "{asked}");
    let line = verdict::line(&talk(0).into_talk());
    assert!(line.starts_with("CIF  "), "{line}");
    assert!(line.contains("gracefully, after 2 messages in, 1 out ·"), "{line}");
    let line = verdict::line(&talk(3).into_talk());
    assert!(line.starts_with("CMF  "), "{line}");
    assert!(line.contains(", in the middle of a message ·"), "{line}");
}

#[test]
fn three_requests_on_one_connection() {
    let mut scene = Scene::new();
    scene.open();
    let (mut asked, mut answered) = (0, 0);
    for (path, length) in [("/", 1204_u32), ("/style.css", 310), ("/favicon.ico", 5430)] {
        scene.wait(900).data(Received, 78).wait(24).recv(78);
        scene.message(Received, asked, 78, &format!("GET {path}"));
        scene.wait(30).message(Sent, answered, u64::from(length), &format!("200 {length} bytes"));
        scene.send(u64::from(length)).wait(8).data(Sent, length).wait(6).ack(Received);
        scene.wait(5).recv_nothing();
        asked += 78;
        answered += u64::from(length);
    }
    scene.wait(1200).fin(Received).wait(20).recv(0).wait(12).close().wait(4).fin(Sent);
    scene.wait(11).ack(Received);
    check("keep_alive", scene.history(), &Style::default());
}

#[test]
fn three_requests_in_one_segment() {
    let mut scene = Scene::new();
    scene.open().wait(50).data(Received, 150).wait(9).ack(Sent).wait(20).recv(150);
    for (index, path) in ["/a", "/b", "/c"].into_iter().enumerate() {
        let index = index as u64;
        scene.message(Received, index * 50, 50, &format!("GET {path}"));
        scene.message(Sent, index * 200, 200, "200 137 bytes");
    }
    scene.wait(40).send(600).wait(9).data(Sent, 600).wait(9).ack(Received);
    scene.wait(3000).fin(Received).wait(30).recv(0).wait(10).close().wait(5).fin(Sent);
    scene.wait(8).ack(Received);
    scene.wait(300).aftermath(State::Closed, None).peer_aftermath(59_990);
    check("pipelined", scene.history(), &Style::default());
}

#[test]
fn the_server_closes_first() {
    let mut scene = Scene::new();
    scene.open().wait(80).data(Received, 92).wait(22).recv(92);
    scene.message(Received, 0, 92, "GET /missing");
    scene.wait(25).message(Sent, 0, 187, "404 9 bytes").send(187).wait(7).data(Sent, 187);
    scene.wait(20).close().wait(4).fin(Sent).wait(35).ack(Received);
    scene.wait(40_200).fin(Received).wait(6).ack(Sent);
    scene.wait(250).aftermath(State::TimeWait, Some(59_999));
    check("server_first", scene.history(), &Style::default());
}

#[test]
fn a_request_that_comes_too_slowly_is_ended_at_the_deadline() {
    let mut scene = Scene::new();
    scene.open();
    scene.wait(900).data(Received, 16).wait(24).recv(16).recv_nothing();
    scene.wait(15_000_000).gave_up(Received).wait(20).message(Sent, 0, 180, "408 Request Timeout");
    scene.message(Received, 0, 16, "refused: the request did not come in time");
    scene.send(180).wait(8).data(Sent, 180).wait(4).shutdown().wait(2).fin(Sent);
    scene.wait(11).ack(Received).wait(800).fin(Received).wait(20).recv(0).wait(12).close();
    scene.wait(4).ack(Sent);
    check("too_slow", scene.history(), &Style::default());
}

#[test]
fn a_program_that_asks_in_a_loop_is_told_of_once() {
    let mut scene = Scene::new();
    scene.open().wait(70);
    for _ in 0..5000 {
        scene.wait(2).recv_nothing();
    }
    scene.data(Received, 81).wait(22).recv(81).message(Received, 0, 81, "GET /big");
    scene.message(Sent, 0, 400_000, "200 400,000 bytes").sendfile(400_000, 300_000);
    for _ in 0..5000 {
        scene.wait(1).fails(Operation::SendFile, 100_000, 11);
    }
    scene.data(Sent, 300_000).wait(10).ack(Received).wait(5).sendfile(100_000, 100_000);
    scene.wait(5).data(Sent, 100_000).wait(9).ack(Received).wait(10).recv_nothing();
    scene.wait(10).fin(Received).wait(6).recv(0).wait(4).close().wait(3).fin(Sent);
    scene.wait(4).ack(Received);
    check("busy", scene.history(), &Style::default());
}

#[test]
fn the_client_resets_in_the_middle_of_an_answer() {
    let mut scene = Scene::new();
    scene.open().wait(70).data(Received, 81).wait(22).recv(81);
    scene.message(Received, 0, 81, "GET /video.mp4");
    scene.wait(25).message(Sent, 0, 10_000_187, "200 10,000,000 bytes");
    scene.send(187).wait(7).data(Sent, 187).wait(30).sendfile(10_000_000, 196_608);
    for _ in 0..3 {
        scene.wait(12).data(Sent, 65_483);
    }
    scene.wait(9).ack(Received).wait(15).fails(Operation::SendFile, 9_803_392, 11);
    scene.wait(2100).again(Sent, 131_153, 65_483).wait(400).reset(Received);
    scene.wait(30).fails(Operation::SendFile, 9_803_392, 104).wait(20);
    scene.kernel(KernelFacts::default()).close();
    check("reset", scene.history(), &Style::default());
}

#[test]
fn a_connection_without_packets() {
    let mut scene = Scene::without_capture();
    curl_into(&mut scene);
    scene.aftermath(State::Closed, None).peer_aftermath(59_999);
    check("no_capture", scene.history(), &Style::default());
}

#[test]
fn a_server_first_close_without_packets() {
    let mut scene = Scene::without_capture();
    scene.accept().wait(80).recv(92).message(Received, 0, 92, "GET /missing");
    scene.wait(30).message(Sent, 0, 187, "404 9 bytes").send(187).wait(60).shutdown();
    scene.wait(20_000).recv(0).wait(10).close().wait(90);
    scene.aftermath(State::TimeWait, Some(59_999)).lost(Loss {
        calls: 2,
        packets: 0,
        ..Loss::default()
    });
    check("no_capture_server_first", scene.history(), &Style::default());
}

#[test]
fn a_gibibyte_is_folded() {
    const CHUNK: u64 = 2 << 20;
    const SEGMENT: u32 = 64 << 10;
    let mut scene = Scene::keeping(1024, true);
    scene.open().wait(70).data(Received, 84).wait(22).recv(84);
    scene.message(Received, 0, 84, "GET /disk.img");
    scene.wait(20).message(Sent, 0, (1 << 30) + 220, "200 1,073,741,824 bytes");
    scene.send(220).wait(8).data(Sent, 220);
    let mut left = 1_u64 << 30;
    while left > 0 {
        scene.wait(5).sendfile(left, CHUNK);
        for _ in 0..CHUNK / u64::from(SEGMENT) {
            scene.wait(9).data(Sent, SEGMENT);
        }
        scene.wait(7).ack(Received);
        left -= CHUNK;
    }
    scene.wait(300).fin(Received).wait(20).recv(0).wait(12).close().wait(4).fin(Sent);
    scene.wait(9).ack(Received);
    check("gibibyte", scene.history(), &Style::default());
    check(
        "gibibyte_80_ascii",
        scene.history(),
        &Style { width: 80, ascii: true, ..Style::default() },
    );
}

#[test]
fn labels_in_chinese_keep_their_columns() {
    let mut scene = Scene::new();
    exchange(&mut scene, "GET /文件/三文鱼洄游观察记录.txt", "200 两千字节");
    check("chinese", scene.history(), &Style::default());
    check("chinese_80", scene.history(), &Style { width: 80, ..Style::default() });
}

#[test]
fn hostile_labels_are_harmless() {
    let mut scene = Scene::new();
    let title = "GET /\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}gpj.exe\r\n";
    exchange(&mut scene, title, "200 \u{2066}\u{feff}\u{200b}");
    check("hostile", scene.history(), &Style::default());
    let picture = view::picture(scene.history(), &Style::default());
    assert!(picture.chars().all(|shown| shown == '\n' || !shown.is_control()), "{picture:?}");
}

#[test]
fn many_requests_are_cut_to_the_lines_there_are() {
    let mut scene = Scene::new();
    scene.open();
    for index in 0..400 {
        scene.wait(100).data(Received, 40).wait(20).recv(40);
        scene.message(Received, index * 40, 40, &format!("GET /{index}"));
        scene.wait(20).message(Sent, index * 90, 90, "200 9 bytes").send(90);
        scene.wait(8).data(Sent, 90).wait(20).ack(Received);
    }
    scene.wait(60).fin(Received).wait(20).recv(0).wait(12).close().wait(4).fin(Sent);
    scene.wait(9).ack(Received);
    let style = Style { rows: 30, ..Style::default() };
    check("many_requests", scene.history(), &style);
    let ladder = view::picture(scene.history(), &style);
    assert!(ladder.lines().count() <= 30 + 35, "{ladder}");
}

#[test]
fn a_fold_never_stands_below_what_came_after_it() {
    // Calls are told before the packets of the same time, and there is no room for all.
    let mut scene = Scene::keeping(40, true);
    for (wire, program) in [(false, true), (true, false)] {
        scene.rewind(wire, program).open();
        for _ in 0..50 {
            scene.wait(100).data(Received, 40).wait(20).recv(40).wait(30).send(90);
            scene.wait(8).data(Sent, 90).wait(20).ack(Received);
        }
    }
    for rows in [20, 60, 400] {
        let picture = view::picture(scene.history(), &Style { rows, ..Style::default() });
        let times = any::printed_times(&picture);
        assert!(times.len() > 10 && times.is_sorted(), "{picture}");
    }
}

#[test]
fn a_peer_that_says_nothing() {
    let mut scene = Scene::new();
    scene.open().wait(10_000).fin(Received).wait(20).recv(0).wait(12).close().wait(4).fin(Sent);
    scene.wait(9).ack(Received).lost(Loss { calls: 3, packets: 12, ..Loss::default() });
    check("nothing_said", scene.history(), &Style::default());
}

#[test]
fn a_client_stands_on_the_left() {
    let mut scene = Scene::of_client();
    scene.connect(45).wait(6).segment(Sent, Flags::SYN, -1, 0, None);
    scene.wait(9).segment(Received, Flags::SYN, -1, 0, Some(0));
    scene.wait(12).segment(Sent, Flags::NONE, 0, 0, Some(0));
    scene.wait(90).message(Sent, 0, 60, "GET /index.html").send(60).wait(8).data(Sent, 60);
    scene.wait(700).data(Received, 2000).wait(20).recv(2000);
    scene.message(Received, 0, 2000, "200 1,800 bytes");
    scene.wait(40).shutdown().wait(4).fin(Sent).wait(300).fin(Received).wait(5).ack(Sent);
    scene.wait(20).recv(0).wait(15).close();
    check("client", scene.history(), &Style::default());
}

#[test]
fn a_start_in_midstream_is_marked_as_inferred() {
    let mut scene = Scene::new();
    scene.data(Received, 100).wait(20).data(Sent, 300).wait(30).ack(Received);
    scene.wait(50).fin(Sent).wait(10).fin(Received).wait(10).ack(Sent);
    check("midstream", scene.history(), &Style::default());
}

#[test]
fn a_saved_syn_places_what_was_captured_in_midstream() {
    let mut scene = Scene::new();
    // The request itself was missed.
    scene.segment(Received, Flags::NONE, 92, 0, Some(0)).wait(20).segment(
        Sent,
        Flags::NONE,
        0,
        300,
        Some(92),
    );
    scene.wait(10).saved_syn().wait(10).segment(Received, Flags::FIN, 92, 0, Some(300));
    let ladder = view::picture(scene.history(), &Style::default());
    assert!(ladder.contains(" data [0..300) ack 92 "), "{ladder}");
    assert!(ladder.contains(" FIN+ACK @92 ack 300 "), "{ladder}");
    assert_eq!(scene.history().course.fin[0].map(|(offset, _)| offset), Some(92));
}

#[test]
fn segments_told_before_the_calls_give_the_same_picture() {
    let mut scene = Scene::new();
    curl_into(scene.rewind(true, false));
    curl_into(scene.rewind(false, true));
    let together = view::picture(curl().history(), &Style::default());
    assert_eq!(view::picture(scene.history(), &Style::default()), together);
}

#[test]
fn no_picture_is_wider_than_its_style() {
    for width in (40..130).chain([240, 500]) {
        for scene in [curl(), torn(), still_open()] {
            let style = Style { width, ..Style::default() };
            for line in view::picture(scene.history(), &style).lines() {
                let columns = unicode_width::UnicodeWidthStr::width(line);
                assert!(columns <= width.min(240), "{columns} > {width}: {line}");
            }
        }
    }
}

/// One `curl`: a request, an answer from a file, a close by the client.
fn curl() -> Scene {
    let mut scene = Scene::new();
    curl_into(&mut scene);
    scene
}

fn curl_into(scene: &mut Scene) {
    exchange(scene, "GET /index.html", "200 4,096 bytes");
}

fn exchange(scene: &mut Scene, question: &str, answer: &str) {
    scene.open().wait(36).data(Received, 78).wait(8).ack(Sent).wait(31).recv(78);
    scene.message(Received, 0, 78, question);
    scene.wait(60).message(Sent, 0, 4312, answer).send(216).wait(9).data(Sent, 216);
    scene.wait(22).sendfile(4096, 4096).wait(11).data(Sent, 4096).wait(7).ack(Received);
    scene.wait(30).recv_nothing();
    scene.wait(310).fin(Received).wait(25).recv(0).wait(14).close().wait(4).fin(Sent);
    scene.wait(10).ack(Received);
}

/// Everything a verdict can say, in large numbers.
fn torn() -> Scene {
    let mut scene = Scene::keeping(40, true);
    scene.open();
    for _ in 0..2000 {
        scene.wait(80_000).sendfile(1 << 40, 900_000).data(Sent, 900_000).data(Received, 7);
        scene.again(Sent, 0, 5).recv(7).ack(Received);
    }
    scene.wait(9_000_000).reset(Received).fails(Operation::SendFile, 9, 104).close();
    scene.kernel(KernelFacts { unread: Some(12_345_678), ..KernelFacts::default() });
    scene.lost(Loss { calls: 1_000_000, packets: 2_000_000, ..Loss::default() });
    scene
}

/// A connection still open, with a long label on each side.
fn still_open() -> Scene {
    let mut scene = Scene::new();
    let long =
        "GET /a/path/so/long/that/no/terminal/shows/it/without/cutting/it/somewhere.html?x=1";
    scene.open().wait(36).data(Received, 78).wait(31).recv(78).message(Received, 0, 78, long);
    scene.wait(9).message(Sent, 0, 9, long).send(9).wait(9).data(Sent, 9);
    scene
}

/// The parts of the time in a verdict add up to the whole, digit by digit.
fn adds_up(line: &str) {
    let digits = |number: &str| -> u64 {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{number} is no number: {line}"))
    };
    let Some((before, after)) = line.split_once(" to close: ") else { return };
    let whole = before.rsplit(" · ").next().and_then(|part| part.split(' ').next());
    let whole = whole.expect("a number and its unit");
    let parts = after.split(" · ").next().unwrap_or_default().split(", ");
    let numbers: Vec<&str> = parts.filter_map(|part| part.split(' ').next()).collect();
    let decimals = |number: &str| number.split_once('.').map_or(0, |(_, rest)| rest.len());
    assert!(numbers.iter().all(|number| decimals(number) == decimals(whole)), "{line}");
    assert_eq!(numbers.into_iter().map(digits).sum::<u64>(), digits(whole), "{line}");
}

/// Compares a picture with the golden one, or writes it if asked to.
fn check(name: &str, history: &History, style: &Style) {
    adds_up(&verdict::line(history));
    if let (Some(opened), Some(closed)) = (history.opened, history.closed) {
        let spent = &history.spent;
        assert_eq!(spent.total() - spent.backlog, closed.0 - opened.0, "{name}: {spent:?}");
    }
    compare(name, &view::picture(history, style));
}

/// Compares what was drawn with the golden file of this name, or writes that if asked to.
fn compare(name: &str, drawn: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect();
    let path = path.with_extension("txt");
    if std::env::var_os("SOCKEYE_BLESS").is_some() {
        fs::write(&path, drawn).expect("the golden file can be written");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        drawn == golden,
        "{name} is not drawn as in {}\n--- drawn\n{drawn}\n--- golden\n{golden}\n\
         if what is drawn is better: SOCKEYE_BLESS=1 cargo test -p sockeye-eye --test views",
        path.display(),
    );
}
