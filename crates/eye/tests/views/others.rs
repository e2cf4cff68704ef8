//! Connections of other programs: neither end is "here", and nobody says "we".

use sockeye_engine::probe::Direction::{Received, Sent};
use sockeye_eye::verdict;
use sockeye_eye::view::Style;
use sockeye_wire::tcp::State;

use super::check;
use super::scene::Scene;

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
