//! What is found of connections made by hand, and what is not; each kind as it is drawn.

use Direction::{Received, Sent};
use sockeye_engine::probe::{Direction, Operation, Role};
use sockeye_eye::finding::{Finding, Kind, findings};
use sockeye_eye::record::{Certainty, History, KernelFacts, Loss};
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_eye::words::Lang;
use sockeye_wire::tcp::{Flags, State};

use super::compare;
use super::scene::{Queue, Scene};

/// The only finding there is.
fn only(history: &History) -> Finding {
    let found = findings(history);
    match &*found {
        [finding] => finding.clone(),
        _ => panic!("{found:#?}"),
    }
}

/// Compares what stands under the verdict in both languages.
fn check(name: &str, history: &History) {
    let under = |lang, width| {
        let style = Style { lang, width, ..Style::default() };
        let picture = view::picture(history, &style);
        // From the verdict on: what stands above is not the point here.
        let blocks: Vec<&str> = picture.split("\n\n").collect();
        let first =
            blocks.iter().position(|block| block.starts_with("  ! ") || block.starts_with("  · "));
        let first = first.unwrap_or(0);
        blocks[first..].join("\n\n")
    };
    let drawn = [(Lang::En, 100), (Lang::Zh, 100), (Lang::En, 40), (Lang::Zh, 40)]
        .map(|(lang, width)| under(lang, width));
    compare(&format!("finding_{name}"), &drawn.join("\n"));
}

#[test]
fn a_request_and_its_answer_have_no_findings() {
    for scene in [super::curl(), super::still_open()] {
        assert_eq!(findings(scene.history()), []);
    }
}

#[test]
fn several_messages_in_one_read_stick() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 6).wait(20).data(Received, 24).wait(30).recv(30);
    let mut start = 0;
    for (label, length) in [("GET a", 6), ("PUT bb", 7), ("DEL c", 6), ("GET dd", 7), ("BYE", 4)] {
        scene.message(Received, start, length, label);
        start += length;
    }
    let found = only(scene.history());
    assert_eq!((found.kind, found.direction, found.range.clone()), (Kind::Sticky, Received, 0..30));
    assert_eq!((found.evidence.messages, found.count), (5, 1));
    check("sticky", scene.history());
}

#[test]
fn reads_of_several_messages_are_one_finding() {
    let mut scene = Scene::new();
    scene.open();
    for round in 0..100 {
        scene.wait(40).data(Received, 30).wait(9).recv(30);
        for part in 0..3 {
            scene.message(Received, round * 30 + part * 10, 10, "GET /");
        }
    }
    let found = only(scene.history());
    assert_eq!((found.kind, found.count, found.range), (Kind::Sticky, 100, 0..30));
}

#[test]
fn one_message_a_read_neither_sticks_nor_is_torn() {
    let mut scene = Scene::new();
    scene.open();
    for round in 0..100 {
        scene.wait(40).data(Received, 30).wait(9).recv(30);
        scene.message(Received, round * 30, 30, "GET /");
    }
    assert_eq!(findings(scene.history()), []);
}

#[test]
fn a_message_of_several_reads_is_torn() {
    let mut scene = Scene::new();
    scene.open();
    for _ in 0..4 {
        scene.wait(40).data(Received, 1000).wait(9).recv(1000);
    }
    scene.message(Received, 0, 3990, "len=3990");
    let found = only(scene.history());
    assert_eq!((found.kind, found.range.clone(), found.evidence.calls), (Kind::Torn, 0..3990, 4));
    check("torn", scene.history());
}

#[test]
fn a_reader_without_room_is_told_of_with_the_probes() {
    let mut scene = Scene::new();
    scene.open().wait(40).send(60_000).wait(9).data(Sent, 60_000);
    scene.wait(20).hears(Received, 60_000, 0, None);
    for _ in 0..2 {
        scene.wait(210_000).segment(Sent, Flags::NONE, 59_999, 0, Some(0));
        scene.wait(9).hears(Received, 60_000, 0, None);
    }
    scene.wait(30_000).hears(Received, 60_000, 400, None);
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.direction, found.range.clone()),
        (Kind::ZeroWindow, Sent, 60_000..60_000)
    );
    assert_eq!((found.evidence.nanos, found.evidence.probes), (450_018_000, 2));
    check("zero_window", scene.history());
}

#[test]
fn a_window_closed_for_a_moment_is_nothing() {
    let mut scene = Scene::new();
    scene.open().wait(40).send(60_000).wait(9).data(Sent, 60_000);
    for _ in 0..50 {
        scene
            .wait(20)
            .hears(Received, 60_000, 0, None)
            .wait(900)
            .hears(Received, 60_000, 400, None);
    }
    // Nor does a reset, whose window is 0, close one.
    scene.wait(50_000).segment(Received, Flags::RST, 0, 0, None);
    let found = findings(scene.history());
    assert!(found.iter().all(|finding| finding.kind != Kind::ZeroWindow), "{found:?}");
}

/// Ten segments of ours of which the first is lost, after an exchange that was acknowledged.
fn ten_segments() -> Scene {
    let mut scene = Scene::new();
    scene.open().wait(40).send(10_000);
    for _ in 0..10 {
        scene.wait(9).data(Sent, 1000);
    }
    scene
}

#[test]
fn three_duplicate_acks_make_a_fast_retransmission() {
    let mut scene = ten_segments();
    for sacked in 2..5 {
        scene.wait(30).hears(Received, 0, 512, Some((1000..sacked * 1000, false)));
    }
    scene.wait(30).again(Sent, 0, 1000).wait(30).hears(Received, 10_000, 512, None);
    let found = only(scene.history());
    assert_eq!((found.kind, found.range.clone()), (Kind::FastRetransmission, 0..1000));
    assert_eq!((found.evidence.duplicate_acks, found.evidence.bytes), (3, 1000));
    check("fast_retransmission", scene.history());
}

#[test]
fn acks_that_only_open_the_window_are_no_duplicates() {
    let mut scene = ten_segments();
    for window in [600, 700, 800, 900] {
        scene.wait(30).hears(Received, 0, window, None);
    }
    scene.wait(30).again(Sent, 0, 1000).wait(30).hears(Received, 10_000, 512, None);
    let found = only(scene.history());
    assert_eq!((found.kind, found.evidence.duplicate_acks), (Kind::Retransmission, 0));
    check("retransmission", scene.history());
}

#[test]
fn a_silence_as_long_as_the_timer_makes_a_timeout() {
    let mut scene = ten_segments();
    scene.wait(230_000).again(Sent, 0, 1000).wait(30).hears(Received, 10_000, 512, None);
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::RetransmissionTimeout, Certainty::Inferred));
    check("timeout", scene.history());
}

#[test]
fn with_packets_missing_the_kind_is_not_guessed() {
    let mut scene = ten_segments();
    scene.wait(230_000).again(Sent, 0, 1000).wait(30).hears(Received, 10_000, 512, None);
    scene.lost(Loss { packets: 5, ..Loss::default() });
    assert_eq!(only(scene.history()).kind, Kind::Retransmission);
}

#[test]
fn the_last_bytes_sent_again_are_the_tail() {
    let mut scene = ten_segments();
    scene.wait(30).hears(Received, 9000, 512, None);
    scene.wait(20_000).again(Sent, 9000, 1000).wait(30).hears(Received, 10_000, 512, None);
    let found = only(scene.history());
    assert_eq!((found.kind, found.range.clone()), (Kind::TailRetransmission, 9000..10_000));
    check("tail", scene.history());
}

#[test]
fn what_arrived_twice_was_sent_again_in_vain() {
    let mut scene = ten_segments();
    scene.wait(230_000).again(Sent, 0, 1000);
    scene.wait(30).hears(Received, 10_000, 512, Some((0..1000, true)));
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::SpuriousRetransmission, Certainty::Exact));
    check("spurious", scene.history());
    // What the peer repeats after we acknowledged it had arrived as well.
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 500).wait(20).ack(Sent).wait(300_000);
    scene.again(Received, 0, 500).wait(5).recv(500);
    let found = only(scene.history());
    assert_eq!((found.kind, found.direction), (Kind::SpuriousRetransmission, Received));
}

#[test]
fn a_syn_that_is_repeated_is_told_of() {
    let mut scene = Scene::of_client();
    scene.segment(Sent, Flags::SYN, -1, 0, None);
    for seconds in [1, 2] {
        scene.wait(seconds * 1_000_000).segment(Sent, Flags::SYN, -1, 0, None);
    }
    scene.wait(90).segment(Received, Flags::SYN, -1, 0, Some(0));
    scene.wait(12).segment(Sent, Flags::NONE, 0, 0, Some(0));
    let found = only(scene.history());
    assert_eq!((found.kind, found.evidence.again), (Kind::SynRetried, 2));
    check("syn_retried", scene.history());
}

#[test]
fn a_listener_that_does_not_answer_has_a_full_backlog() {
    let mut scene = Scene::new();
    scene.segment(Received, Flags::SYN, -1, 0, None).wait(1_000_000).open();
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::BacklogOverflow, Certainty::Inferred));
    check("backlog_overflow", scene.history());
    // It had acknowledged, and its ACK was dropped.
    let mut scene = Scene::new();
    scene.segment(Received, Flags::SYN, -1, 0, None);
    scene.wait(9).segment(Sent, Flags::SYN, -1, 0, Some(0));
    scene.wait(12).segment(Received, Flags::NONE, 0, 0, Some(0));
    scene.wait(1_000_000).segment(Sent, Flags::SYN, -1, 0, Some(0));
    scene.wait(12).segment(Received, Flags::NONE, 0, 0, Some(0)).wait(5).accept();
    assert_eq!(only(scene.history()).kind, Kind::BacklogOverflow);
    // Answered, the SYN was repeated for another reason.
    let mut scene = Scene::new();
    scene.segment(Received, Flags::SYN, -1, 0, None);
    scene.wait(9).segment(Sent, Flags::SYN, -1, 0, Some(0)).wait(1_000_000).open();
    assert_eq!(only(scene.history()).kind, Kind::SynRetried);
}

#[test]
fn a_port_nobody_listens_at_refuses() {
    let mut scene = Scene::of_client();
    scene.segment(Sent, Flags::SYN, -1, 0, None).wait(9).segment(
        Received,
        Flags::RST,
        -1,
        0,
        Some(0),
    );
    scene.fails(Operation::Connect, 0, 111).wait(20).close();
    assert_eq!(only(scene.history()).kind, Kind::Refused);
    check("refused", scene.history());
    let mut scene = Scene::without_capture();
    scene.fails(Operation::Connect, 0, 111).wait(20).close();
    assert_eq!(only(scene.history()).kind, Kind::Refused);
}

#[test]
fn a_connect_that_fails_late_begins_where_it_begins_and_fails_where_it_fails() {
    let mut scene = Scene::of_client();
    scene.connect_fails(900_000, 111).wait(9).segment(Sent, Flags::SYN, -1, 0, None);
    scene.wait(899_980).segment(Received, Flags::RST, -1, 0, Some(0)).wait(20).close();
    let drawn = view::ladder(scene.history(), &Style::default());
    let line = |part: &str| drawn.lines().position(|line| line.contains(part));
    let (begun, syn) = (line("connect() \u{2502}"), line(" SYN "));
    assert!(begun.is_some() && begun <= syn && syn < line("connect() = ECONNREFUSED"), "{drawn}");
}

#[test]
fn before_a_connection_is_open_nothing_answered() {
    let mut scene = Scene::of_client();
    scene.segment(Sent, Flags::SYN, -1, 0, None).wait(1_500_000).gave_up(Sent);
    scene.fails(Operation::Connect, 0, 110).wait(20).close();
    let line = verdict::line(scene.history());
    assert!(line.starts_with("CHT  "), "{line}");
    assert!(line.contains("at our deadline, nothing answered, before it was open"), "{line}");
    assert!(!line.contains("window"), "{line}");
}

#[test]
fn bytes_that_make_no_message_yet_are_a_question_where_one_is_waited_for() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 10).wait(20).recv(10).wait(9).fin(Received);
    scene.wait(4).recv(0).wait(50).close().wait(5).fin(Sent).wait(5).ack(Received);
    let line = verdict::line(scene.history());
    assert!(line.starts_with("CQF  ") && line.contains("in the middle of a request"), "{line}");
    assert!(verdict::line(&scene.into_talk()).starts_with("CDF  "));
}

#[test]
fn a_shut_window_is_waited_for_while_a_message_is_not_fully_sent() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).message(Received, 0, 78, "GET /");
    scene.wait(60).message(Sent, 0, 90_000, "200").sendfile(90_000, 60_000).wait(30);
    scene.data(Sent, 60_000).wait(30).hears(Received, 60_000, 0, None).wait(10);
    // It looks whether the peer has more to say, or is gone.
    scene.recv_nothing().wait(900_000).gave_up(Received);
    scene.hears(Received, 60_000, 512, None).wait(40);
    scene.sendfile(30_000, 30_000).wait(30).close();
    let history = scene.whole();
    let spent = history.spent;
    assert!(spent.window >= 900_000_000 && spent.peer < 1_000_000, "{spent:?}");
    assert_eq!(spent.total() - spent.backlog, whole(&history));
}

#[test]
fn a_close_with_nothing_unread_that_resets_is_an_abort() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).message(Received, 0, 78, "GET /");
    scene.wait(30).kernel(KernelFacts { unread: Some(0), ..KernelFacts::default() });
    scene.close().wait(3).reset(Sent);
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::ResetByAbort, Certainty::Exact));
    check("abort", scene.history());
}

#[test]
fn a_close_with_bytes_unread_resets() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 178).wait(20).recv(78).message(Received, 0, 78, "GET /");
    scene.wait(30).kernel(KernelFacts { unread: Some(100), ..KernelFacts::default() });
    scene.close().wait(3).reset(Sent);
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.direction, found.range.clone()),
        (Kind::ResetUnread, Received, 78..178)
    );
    check("unread", scene.history());
}

#[test]
fn a_peer_that_resets_may_have_had_several_reasons() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(9).send(90).data(Sent, 90);
    scene.wait(30).ack(Received).wait(700).reset(Received).wait(5).fails(Operation::Recv, 9, 104);
    scene.wait(9).close();
    let found = only(scene.history());
    assert_eq!((found.kind, found.range.clone()), (Kind::Reset, 78..78));
    check("reset", scene.history());
    // It had been sent nothing that it could have left unread.
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(700).reset(Received);
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::ResetByAbort, Certainty::Inferred));
    // No packets: the kernel's word.
    let mut scene = Scene::without_capture();
    scene.accept().wait(40).recv(78).wait(700).fails(Operation::Recv, 9, 104).wait(9).close();
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.at),
        (Kind::Reset, scene.history().closed.map_or(found.at, |_| found.at))
    );
}

#[test]
fn data_for_a_socket_that_was_closed_is_answered_by_a_reset() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(9).fin(Received);
    scene.wait(4).recv(0).wait(50).send(90).data(Sent, 90).wait(20);
    scene.segment(Received, Flags::RST, 79, 0, None).wait(40).fails(Operation::Send, 90, 32);
    scene.wait(9).close();
    let kinds: Vec<Kind> = findings(scene.history()).iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::ResetAfterClose, Kind::WriteAfterClose]);
    check("after_close", scene.history());
}

/// A client that ends its own half and reads on, and closes with the rest unread.
fn half_closed(unread: Option<u32>) -> Scene {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(9).fin(Received);
    scene.wait(4).recv(0).wait(50).send(90).data(Sent, 90).wait(20).ack(Received).wait(900);
    if let Some(receive) = unread {
        let queue = Queue { receive, send: 0, window: 4096 };
        scene.queue(Role::Client, State::FinWait2, queue).wait(900);
    }
    scene
}

#[test]
fn what_was_acknowledged_did_not_come_after_a_close() {
    // It closes with bytes unread, or aborts: a reset with an ACK answers nothing.
    let mut scene = half_closed(None);
    scene.reset(Received).wait(9).close();
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::Reset, Certainty::Exact));
    // Nor does one without, where all had been acknowledged.
    let mut scene = half_closed(None);
    scene.segment(Received, Flags::RST, 79, 0, None).wait(9).close();
    assert_ne!(only(scene.history()).kind, Kind::ResetAfterClose);
    // More was under way, and was acknowledged by nobody: but the reset has an ACK.
    let mut scene = half_closed(None);
    scene.send(10).data(Sent, 10).wait(2).segment(Received, Flags::RST, 79, 0, Some(90));
    assert_eq!(only(scene.wait(9).close().history()).kind, Kind::Reset);
}

#[test]
fn bytes_a_sample_found_unread_suggest_why_the_peer_reset() {
    let mut scene = half_closed(Some(60));
    scene.reset(Received).wait(9).close();
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.certainty, found.range.clone(), found.evidence.bytes),
        (Kind::ResetUnread, Certainty::Inferred, 30..90, 60)
    );
    assert_eq!(found.by, Some(Role::Client));
    check("unread_by_sample", scene.history());
    let mut scene = half_closed(Some(0));
    scene.reset(Received).wait(9).close();
    assert_eq!(only(scene.history()).kind, Kind::Reset);
}

#[test]
fn what_only_is_to_be_known_stands_behind_what_is_amiss() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 30).wait(30).recv(30);
    for part in 0..3 {
        scene.message(Received, part * 10, 10, "GET /");
    }
    scene.wait(700).reset(Received).wait(9).close();
    let drawn = view::findings(scene.history(), &Style::default());
    let place = |head: &str| drawn.find(head).unwrap_or_else(|| panic!("{head}: {drawn}"));
    assert!(place("\n  ! reset-abort  ~") < place("\n  · sticky  [0..30)"), "{drawn}");
    assert!(drawn.ends_with("~ suggested by what was seen, not shown by it\n"), "{drawn}");
}

#[test]
fn a_segment_for_an_unknown_connection_is_answered_by_a_reset() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).ack(Sent).recv(78).wait(900_000);
    scene.send(90).data(Sent, 90).wait(20).segment(Received, Flags::RST, 78, 0, None);
    scene.wait(40).fails(Operation::Recv, 90, 104).wait(9).close();
    let found = only(scene.history());
    assert_eq!((found.kind, found.certainty), (Kind::ResetUnknown, Certainty::Inferred));
    check("half_open_reset", scene.history());
}

#[test]
fn writes_to_an_ended_connection_fail_in_one_order_or_the_other() {
    let start = || {
        let mut scene = Scene::without_capture();
        scene.accept().wait(40).recv(78).wait(9);
        scene
    };
    let errors = |history: &History| {
        let found = findings(history);
        let late = found.iter().find(|finding| finding.kind == Kind::WriteAfterClose);
        late.map(|finding| finding.evidence.errors)
    };
    let mut scene = start();
    scene.fails(Operation::Send, 90, 104).wait(9).fails(Operation::Send, 90, 32).wait(9).close();
    assert_eq!(errors(scene.history()), Some([Some(104), Some(32)]));
    check("write_after_close", scene.history());
    let mut scene = start();
    scene.fails(Operation::Recv, 90, 104).wait(9).fails(Operation::Send, 90, 32).wait(9).close();
    assert_eq!(errors(scene.history()), Some([Some(104), Some(32)]));
    // One that was under way when the reset came did not come too late.
    let mut scene = start();
    scene.fails(Operation::Send, 90, 104).wait(9).close();
    assert_eq!(errors(scene.history()), None);
    let mut scene = start();
    scene.shutdown().wait(9).fails(Operation::Send, 90, 32).wait(9).close();
    assert_eq!(only(scene.history()).kind, Kind::WriteAfterShutdown);
    check("write_after_shutdown", scene.history());
}

#[test]
fn a_peer_that_answers_nothing_any_more_is_gone() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(9).send(90).data(Sent, 90);
    scene.wait(30).ack(Received).wait(5000).send(90).data(Sent, 90);
    let mut wait = 210_000;
    for _ in 0..4 {
        scene.wait(wait).again(Sent, 90, 90);
        wait *= 2;
    }
    let found = findings(scene.history());
    let gone = found.iter().find(|finding| finding.kind == Kind::HalfOpen).expect("a finding");
    assert_eq!((gone.certainty, gone.evidence.again), (Certainty::Inferred, 4));
    scene.wait(900_000).fails(Operation::Recv, 90, 110).wait(9).close();
    let found = findings(scene.history());
    let gone = found.iter().find(|finding| finding.kind == Kind::HalfOpen).expect("a finding");
    assert_eq!((gone.certainty, gone.evidence.errors[0]), (Certainty::Exact, Some(110)));
    check("half_open", scene.history());
    // Two may be lost on any link.
    let mut scene = Scene::new();
    scene.open().wait(40).send(90).data(Sent, 90);
    scene.wait(210_000).again(Sent, 0, 90).wait(420_000).again(Sent, 0, 90);
    let found = findings(scene.history());
    assert!(found.iter().all(|finding| finding.kind != Kind::HalfOpen), "{found:?}");
}

#[test]
fn a_program_that_does_not_close_stays_in_close_wait() {
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(900).fin(Received);
    scene.wait(4).recv(0).wait(3_000_000).close().wait(5).fin(Sent).wait(9).ack(Received);
    let found = only(scene.history());
    assert_eq!(found.kind, Kind::CloseWait);
    check("close_wait", scene.history());
    // One that goes on sending has a use for the other half.
    let mut scene = Scene::new();
    scene.open().wait(40).data(Received, 78).wait(20).recv(78).wait(900).fin(Received).recv(0);
    for _ in 0..10 {
        scene.wait(800_000).send(90).data(Sent, 90).wait(9).ack(Received);
    }
    scene.wait(20).close().wait(4).fin(Sent).wait(9).ack(Received);
    assert_eq!(findings(scene.history()), []);
}

/// The client's ACK of our first, small segment comes after so many microseconds; the second was
/// handed over after `handed`.
fn two_small_writes(delay: u64, handed: u64) -> Scene {
    let mut scene = Scene::new();
    scene.open().wait(40).send(100).wait(5).data(Sent, 100).wait(handed).send(50);
    scene.wait(delay - handed).ack(Received).wait(20).data(Sent, 50).wait(90).ack(Received);
    scene
}

#[test]
fn a_small_segment_held_back_until_a_delayed_ack() {
    let scene = two_small_writes(40_900, 60);
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.range.clone(), found.certainty),
        (Kind::NagleDelayedAck, 100..150, Certainty::Exact)
    );
    assert_eq!(found.evidence.nanos, 40_840_000);
    check("nagle", scene.history());
}

#[test]
fn what_was_handed_over_late_or_acknowledged_at_once_was_not_held_back() {
    // Sent as soon as it was there, just when the ACK came.
    assert_eq!(findings(two_small_writes(40_900, 40_890).history()), []);
    assert_eq!(findings(two_small_writes(900, 60).history()), []);
}

#[test]
fn a_peer_that_sends_in_the_pace_of_our_acks_by_chance_is_not_blamed() {
    let mut scene = Scene::new();
    scene.open();
    for round in 0..10 {
        scene.wait(40_100).data(Received, 100).wait(5).recv(100);
        if round % 5 == 0 {
            scene.wait(40_000).ack(Sent).wait(50).data(Received, 100).wait(5).recv(100);
        } else {
            scene.wait(9).ack(Sent);
        }
    }
    assert_eq!(findings(scene.history()), []);
    let mut scene = Scene::new();
    scene.open();
    for _ in 0..3 {
        scene.wait(900).data(Received, 100).wait(40_400).ack(Sent).wait(50).data(Received, 100);
        scene.wait(5).recv(200).send(20).wait(4).data(Sent, 20).wait(30).ack(Received);
    }
    let found = only(scene.history());
    assert_eq!(
        (found.kind, found.count, found.certainty),
        (Kind::NagleDelayedAck, 3, Certainty::Inferred)
    );
    check("nagle_of_the_peer", scene.history());
}

#[test]
fn what_is_left_out_is_not_judged() {
    let mut scene = Scene::keeping(8, true);
    scene.open();
    for _ in 0..100 {
        scene.wait(40).data(Received, 10).wait(9).hears(Sent, 0, 512, None).recv(10);
    }
    assert_eq!(findings(scene.history()), []);
}

#[test]
fn waiting_for_a_repair_or_a_delayed_ack_is_told_apart() {
    let mut scene = ten_segments();
    scene.wait(230_000).again(Sent, 0, 1000).wait(30).hears(Received, 10_000, 512, None);
    scene.wait(500).data(Received, 9).wait(20).recv(9).wait(30).fin(Received).recv(0).close();
    let history = scene.into_talk();
    let spent = history.spent;
    assert_eq!(spent.total() - spent.backlog, whole(&history));
    // All of the wait until the repair was acknowledged, and nothing behind it.
    assert!((230_000_000..230_200_000).contains(&spent.repair), "{spent:?}");
    assert!((500_000..600_000).contains(&spent.peer) && spent.nagle == 0, "{spent:?}");
    let line = verdict::line(&history);
    assert!(line.contains(" for retransmission, "), "{line}");

    let mut scene = two_small_writes(40_900, 60);
    scene.wait(500).data(Received, 9).wait(20).recv(9).wait(30).fin(Received).recv(0).close();
    let history = scene.into_talk();
    let spent = history.spent;
    assert_eq!(spent.total() - spent.backlog, whole(&history));
    assert!((40_800_000..40_900_000).contains(&spent.nagle) && spent.repair == 0, "{spent:?}");
    assert!(verdict::line(&history).contains(" for a delayed ACK (Nagle), "));
}

fn whole(history: &History) -> u64 {
    history.closed.expect("closed").0 - history.opened.expect("opened").0
}

/// A picture in Chinese.
fn chinese(width: usize) -> Style {
    Style { lang: Lang::Zh, width, ..Style::default() }
}

#[test]
fn whole_pictures_in_chinese() {
    super::check("zh_curl", super::curl().history(), &chinese(100));
    super::check("zh_curl_40", super::curl().history(), &chinese(40));
    super::check("zh_torn", super::torn().history(), &chinese(80));
    let mut scene = Scene::without_capture();
    super::curl_into(&mut scene);
    super::check("zh_no_capture", scene.history(), &chinese(80));
}

#[test]
fn with_ascii_alone_chinese_is_english() {
    let ascii = Style { ascii: true, ..Style::default() };
    let chinese = Style { lang: Lang::Zh, ..ascii.clone() };
    let scene = super::torn();
    assert_eq!(view::picture(scene.history(), &chinese), view::picture(scene.history(), &ascii));
}
