//! Connections of other programs: neither end is "here", and nobody says "we".

use sockeye_engine::Address;
use sockeye_engine::probe::Direction::{Received, Sent};
use sockeye_engine::probe::{Role, Stamp};
use sockeye_eye::finding::findings;
use sockeye_eye::record::History;
use sockeye_eye::timeline::Timeline;
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::tcp::State;

use super::check;
use super::scene::{CLIENT, SERVER, Scene};

fn address(text: &str) -> Address {
    let address: std::net::SocketAddr = text.parse().expect("an address");
    address.into()
}

fn asked_and_answered(mut scene: Scene) -> Scene {
    scene.wait(60).data(Received, 78).wait(3).ack(Sent).wait(300).data(Sent, 216);
    scene.wait(9).ack(Received).wait(80).fin(Received).wait(30).fin(Sent).wait(8).ack(Received);
    scene.wait(900).peer_aftermath(59_998);
    scene
}

fn whole() -> Scene {
    let mut scene = Scene::of_others();
    scene.open();
    asked_and_answered(scene)
}

#[test]
fn a_connection_of_others() {
    let scene = whole();
    assert!(scene.finished_on_the_wire());
    check("others", scene.history(), &Style::default());
}

#[test]
fn a_connection_of_others_in_the_fewest_columns() {
    let style = Style { width: 40, ascii: true, ..Style::default() };
    check("others_40", whole().history(), &style);
}

#[test]
fn of_a_connection_seen_from_the_middle_the_verdict_says_so() {
    let scene = asked_and_answered(Scene::of_others());
    let line = verdict::line(scene.history());
    assert!(line.contains("begun before the eye looked"), "{line}");
    assert!(!whole().history().captured || !verdict::line(whole().history()).contains("begun"));
}

#[test]
fn the_verdict_names_the_ends_and_never_us() {
    let mut scene = whole();
    let line = verdict::line(scene.history());
    assert!(
        line.starts_with("CDF  127.0.0.1:40312 -> 127.0.0.1:8080  the client closed"),
        "{line}"
    );
    assert!(line.contains("78 B from the client, 216 B from the server"), "{line}");
    scene.aftermath(State::CloseWait, None);
    let line = verdict::line(scene.history());
    assert!(
        line.contains("CLOSE-WAIT at the server, TIME-WAIT at the client, 60.0 s left"),
        "{line}"
    );
    for ours in [" we ", " our ", " here", " in,", " out"] {
        assert!(!line.contains(ours), "{ours:?} in {line}");
    }
}

#[test]
fn an_idle_connection_is_seen_for_as_long_as_it_is_looked_at() {
    let mut scene = Scene::of_others();
    scene.open().wait(40).data(Received, 78);
    for _ in 0..4 {
        scene.wait(1_000_000).told(Role::Server, State::Established, 78, 0);
    }
    let line = verdict::line(scene.history());
    assert!(line.contains("seen for 4,000 ms"), "{line}");
    // Over on the wire, what is told of its rest is no part of it.
    let mut scene = whole();
    let before = verdict::line(scene.history());
    scene.wait(1_000_000).told(Role::Server, State::Established, 78, 0);
    assert_eq!(verdict::line(scene.history()), before);
}

/// What the list of sockets tells when nobody may see packets.
fn without_packets() -> History {
    let (server, client) = (address(SERVER), address(CLIENT));
    let mut timeline = Timeline::new(Role::Server, server, client, 1 << 10).of_others();
    timeline.without_packets();
    let at = |tenths: u64| Stamp(1_700_000_000_000_000_000 + tenths * 100_000_000);
    for tenths in 0..4 {
        timeline.told(Role::Server, State::Established, at(tenths), 78, 216);
        timeline.told(Role::Client, State::Established, at(tenths), 216, 78);
    }
    timeline.told(Role::Server, State::CloseWait, at(4), 78, 216);
    timeline.told(Role::Client, State::FinWait2, at(4), 216, 78);
    timeline.told(Role::Client, State::TimeWait, at(5), 0, 0);
    timeline.closed(at(6));
    timeline.into_history()
}

#[test]
fn without_packets_the_states_of_both_ends_are_drawn_as_the_kernel_told() {
    check("others_without_packets", &without_packets(), &Style::default());
}

#[test]
fn a_socket_connected_to_itself_is_named_and_no_two_ends_are_drawn() {
    let mut scene = Scene::of_others();
    scene.open().data(Received, 5).wait(9).ack(Received).fin(Received);
    let mut history = scene.whole();
    history.peer = history.local.clone();
    let picture = view::picture(&history, &Style { width: 160, ..Style::default() });
    let itself = "is connected to itself: both ends are one socket · 5 B sent to itself";
    let verdict = format!("  -DF  {}  {itself}\n", history.local);
    assert!(picture.ends_with(&verdict), "{picture}");
    assert_eq!(picture.lines().filter(|line| !line.is_empty()).count(), 2, "{picture}");
    assert!(findings(&history).is_empty());
    let short = view::line(&history, &Style { lang: Lang::Zh, ..Style::default() });
    assert!(short.contains("与自己相连：两端是同一个套接字"), "{short}");
}
