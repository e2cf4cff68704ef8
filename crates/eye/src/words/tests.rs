use std::collections::VecDeque;

use sockeye_engine::probe::{Direction, Operation, Stamp};
use sockeye_wire::tcp::State;

use super::datagrams::Parcel;
use super::lack::Lack;
use super::note::{Noun, Source};
use super::screen::{Action, Heading, Screen};
use super::verdict::{After, Held, Place, Who};
use super::*;
use crate::capture::CaptureError;
use crate::datagram::{Flow, Tally};
use crate::finding::{Evidence, Kind};
use crate::kernel::DiagError;
use crate::pair::{DatagramWay, End};
use crate::record::Certainty;
use crate::verdict::{How, Phase};
use crate::view::live::Page;

#[test]
fn a_locale_is_chinese_by_its_language_alone() {
    for name in ["zh", "zh_CN", "zh_TW.Big5", "zh_SG@x", "zh-Hans"] {
        assert_eq!(Lang::of_locale(name), Lang::Zh, "{name}");
    }
    for name in ["", "C", "POSIX", "en_GB.UTF-8", "zho", "de_CH"] {
        assert_eq!(Lang::of_locale(name), Lang::En, "{name}");
    }
}

/// What is the same in all languages: names of RFC 9293, of the man pages and of our options, units,
/// and the signs of pictures.
const TERMS: [&str; 57] = [
    "sudo setcap cap_net_raw+ep /usr/bin/sockeye",
    "127.0.0.1:8080",
    "ECONNREFUSED",
    "CAP_NET_RAW",
    "sock_diag",
    "EMSGSIZE",
    "tcp_diag",
    "segment",
    "Linux",
    "sudo",
    "k.SND",
    "k.ACK",
    "ICMP port unreachable",
    "net.core.somaxconn",
    "TCP_USER_TIMEOUT",
    "SO_KEEPALIVE",
    "shutdown(WR)",
    "--frame line",
    "[a..b)",
    "a 到 b-1",
    "TCP_NODELAY",
    "length=u32",
    "sendfile()",
    "ECONNRESET",
    "CLOSE-WAIT",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "SO_LINGER",
    "ETIMEDOUT",
    "connect()",
    "accept()",
    "?rcvbuf=",
    "?nodelay",
    "sendfile",
    "ss -ltn",
    "close()",
    "backlog",
    "tcp(7)",
    "recv()",
    "send()",
    "ss -ti",
    "Nagle",
    "EPIPE",
    "@n",
    "+n",
    "n 个",
    "x2",
    "ACK",
    "SYN",
    "FIN",
    "RST",
    "TCP",
    "UDP",
    "NAT",
    "rto",
    "ack",
    "ms",
];

/// No word of another language is left in it, nor punctuation that is not Chinese.
fn is_chinese(text: &str) {
    assert!(text.chars().any(|letter| letter >= '\u{4e00}'), "{text}");
    let mut rest = text.to_owned();
    for term in TERMS {
        rest = rest.replace(term, " ");
    }
    let words: Vec<&str> = rest
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .filter(|word| !["", "B", "s", "k", "x", "M"].contains(word))
        .collect();
    assert!(words.is_empty(), "{words:?} in {text}");
    assert!(!rest.contains([';', '?', '!', '(', ')']), "{text}");
    assert!(!rest.contains(", ") && !rest.contains(": "), "{text}");
}

/// A finding of this kind with all its numbers, or with as few as it can have.
fn finding(kind: Kind, count: u64, whole: bool) -> Finding {
    let of = |number: u64| if whole { number } else { 0 };
    Finding {
        kind,
        by: Some(Role::Server),
        direction: Direction::Received,
        range: if whole { 0..30 } else { 5..5 },
        at: Stamp(1),
        count,
        evidence: Evidence {
            messages: 5,
            calls: 4,
            bytes: 1234,
            nanos: 41_000_000,
            all_nanos: 90_000_000,
            duplicate_acks: of(3),
            probes: of(2),
            again: 1 + of(3),
            connections: 300,
            errors: [Some(libc::ECONNRESET), whole.then_some(libc::EPIPE)],
        },
        certainty: Certainty::Exact,
        reference: "RFC 9293 §2.2",
    }
}

#[test]
fn every_finding_is_told_in_every_language() {
    for kind in Kind::ALL {
        for (count, whole) in [(1, true), (7, true), (1, false)] {
            let finding = finding(kind, count, whole);
            let [en, zh] = Lang::ALL.map(|lang| lang.finding(&finding));
            for text in [&en.what, &en.cause, &en.cure] {
                assert!(!text.is_empty() && text.is_ascii() | text.contains('…'), "{text}");
            }
            for text in [&zh.what, &zh.cause, &zh.cure] {
                is_chinese(text);
            }
            // A sentence for the cause and one for the cure.
            assert!(en.cause.ends_with('.') && en.cure.ends_with('.'), "{en:?}");
            assert!(zh.cause.ends_with('。') && zh.cure.ends_with('。'), "{zh:?}");
        }
    }
}

#[test]
fn ids_are_unique_and_fit_for_a_machine() {
    let mut ids: Vec<&str> = Kind::ALL.iter().map(|kind| kind.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), Kind::ALL.len());
    let fit = |id: &&str| id.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'-');
    assert!(ids.iter().all(fit));
}

#[test]
fn every_form_of_a_verdict_is_told_in_every_language() {
    let phases = [
        Phase::Handshake,
        Phase::Nothing,
        Phase::Question,
        Phase::Answer,
        Phase::Message,
        Phase::Data,
        Phase::Idle,
    ];
    for phase in phases {
        for how in [How::Fin, How::Reset, How::GaveUp, How::Failed, How::Unknown] {
            for (open, who) in
                [(true, Who::We), (false, Who::Client), (false, Who::Server), (true, Who::Server)]
            {
                let after = match phase {
                    Phase::Nothing => After::Nothing,
                    Phase::Question => After::Messages(1),
                    Phase::Answer => After::Requests(2),
                    _ => After::Both { received: 1234, sent: 1 },
                };
                let ending = Ending {
                    who: Some(who),
                    how,
                    phase,
                    after,
                    gave_up: Some(if open { Direction::Sent } else { Direction::Received }),
                    failed: Some((Operation::Recv, libc::ETIMEDOUT)),
                    open,
                    cut_short: matches!(phase, Phase::Answer),
                    recorded: matches!(who, Who::We),
                    server: matches!(who, Who::Server),
                };
                is_chinese(&Lang::Zh.words().ending(&ending));
                let english = Lang::En.words().ending(&ending);
                assert!(!english.is_empty() && english.is_ascii(), "{english}");
            }
        }
    }
    let shares = [
        Share::Backlog,
        Share::Peer,
        Share::Window,
        Share::Reading,
        Share::Nagle,
        Share::Repair,
        Share::Sending,
        Share::Program,
    ];
    let shares: Vec<(String, Share)> =
        shares.into_iter().map(|share| (String::from("0.1"), share)).collect();
    let held = |state, place| Held { state, place, remaining: Some(59_900_000_000) };
    let zh = Lang::Zh.words();
    for since in [Since::Handshake, Since::Accept, Since::Connect] {
        is_chinese(&zh.spent(800_000, since, &shares));
        is_chinese(&zh.spent(800_000, since, &[]));
    }
    is_chinese(&zh.rest(&Rest::Both(held(State::TimeWait, Place::Here))));
    for [here, there] in [[Place::Here, Place::Peer], [Place::Client, Place::Server]] {
        let ends = [held(State::FinWait2, here), held(State::CloseWait, there)];
        is_chinese(&zh.rest(&Rest::Ends(ends.map(Some))));
    }
    for text in [
        zh.moved(78, 4312, None),
        zh.moved(78, 4312, Some(9)),
        zh.moved_between(1, 2),
        zh.itself(5),
        zh.handshake(900),
        zh.lasted(900, true, true),
        zh.sent_again(2),
        zh.came_again(2),
        zh.never_read(2),
        zh.more_findings(2),
    ] {
        is_chinese(&text);
    }
}

#[test]
fn every_note_is_told_in_chinese() {
    let notes = [
        Note::Connection(7),
        Note::End(Role::Client, false),
        Note::End(Role::Server, true),
        Note::ConcludedFrom(Source::Calls),
        Note::ConcludedFrom(Source::OurCalls),
        Note::ConcludedFrom(Source::LaterSegments),
        Note::TheKernelsStates,
        Note::TheClientsClock,
        Note::Lost,
        Note::Doubled,
        Note::Foreign,
        Note::InFlight,
        Note::Interval,
        Note::AtOffset,
        Note::ReadsNotDrawn(1),
        Note::SendsNotDrawn(2),
        Note::RowsNotDrawn("1,234"),
        Note::Remaining("59.9 s"),
        Note::SeveralBorders,
        Note::Written("2"),
        Note::Decoded("2"),
        Note::Missing("2", "66k"),
        Note::Count(Noun::Call, "1", true),
        Note::Count(Noun::Segment, "2", false),
        Note::Count(Noun::Stamp, "2", false),
        Note::OfThemSendfile("2"),
        Note::Each("1.2k"),
        Note::At("1.2"),
        Note::Within("1.2"),
        Note::InColumns(1),
        Note::SentAgain(2),
        Note::CameAgain(2),
        Note::LostOnTheWay(2),
        Note::LostInShort("2"),
        Note::AsTheyCame(2),
        Note::NoBytes,
        Note::MoreEnded(2),
        Note::StillOpen(5, "1.2.3.4:5, 1.2.3.4:6", 3),
        Note::Unwatched(2, 1),
        Note::SocketsUnwatched(2, 1),
        Note::NoneSeen(true),
        Note::NoneSeen(false),
        Note::RecordsLost(2),
        Note::NeverAccepted(2),
        Note::StampsFor(2, 5),
        Note::Unread("9 B", Role::Client, "2.0 ms"),
        Note::UnreadInShort("9 B"),
        Note::WindowShut("2.0 ms"),
        Note::Unacknowledged("9 B", Role::Server),
        Note::UnacknowledgedAlone("9 B"),
        Note::UnacknowledgedInShort("9 B"),
        Note::Unsent("9 B"),
    ];
    for note in notes {
        let text = Lang::Zh.words().note(note);
        // Signs that are explained begin with themselves.
        is_chinese(text.strip_prefix("? ").unwrap_or(&text));
    }
}

/// Both languages have it, and neither has the other's words.
fn is_told(en: &str, zh: &str) {
    assert!(!en.is_empty() && (en.is_ascii() || en.contains('·')), "{en}");
    // Signs that are explained begin with themselves.
    is_chinese(zh.strip_prefix("? ").unwrap_or(zh));
}

#[test]
fn everything_about_datagrams_is_told_in_every_language() {
    use Direction::{Received, Sent};
    let tally = Tally { count: 3, bytes: 1234, truncated: 1, cut: 9 };
    let sent = Flow { direction: Sent, peer: None, tally, latest: VecDeque::new() };
    let way = |lost, whole| DatagramWay {
        sender: End::Client,
        sent: sent.clone(),
        arrived: tally,
        fates: Vec::new(),
        lost,
        whole,
        doubled: 1,
        late: 2,
    };
    let ways = [way(Some(2), true), way(Some(2), false), way(None, false)];
    let mut parcels = vec![
        Parcel::Socket(3),
        Parcel::Cell,
        Parcel::FirstInLine,
        Parcel::ThePeer,
        Parcel::Here,
        Parcel::Sum(&tally),
        Parcel::Others(Received, &tally),
        Parcel::Others(Sent, &tally),
        Parcel::Earlier(5),
        Parcel::Of(20, 1000),
        Parcel::Late("12"),
        Parcel::Later("ECONNREFUSED"),
        Parcel::LegendOfLost,
        Parcel::LegendOfTwice,
        Parcel::LegendOfLate,
        Parcel::LegendOfUnknown,
        Parcel::Moved(Received, &tally),
        Parcel::Moved(Sent, &tally),
        Parcel::NothingMoved,
        Parcel::Truncated(1, 9),
        Parcel::Dropped(2),
        Parcel::OtherReports(2),
        Parcel::OtherErrors(2),
        Parcel::OpenFor(41_000_000),
        Parcel::StillOpen,
    ];
    parcels.extend(ways.iter().map(Parcel::Way));
    for errno in [libc::ECONNREFUSED, libc::EMSGSIZE, libc::EPIPE] {
        parcels.extend([Parcel::Failed(errno, 2), Parcel::Reported(errno, 2)]);
    }
    for parcel in parcels {
        let [en, zh] = Lang::ALL.map(|lang| lang.words().parcel(&parcel));
        is_told(&en, &zh);
    }
}

#[test]
fn everything_on_the_face_is_told_in_every_language() {
    let headings = [
        Heading::Client,
        Heading::Server,
        Heading::States,
        Heading::Sent,
        Heading::Rate,
        Heading::Age,
        Heading::End,
        Heading::Found,
    ];
    let actions = [
        Action::Quit,
        Action::Select,
        Action::Open,
        Action::Filter,
        Action::Pause,
        Action::GoOn,
        Action::Keep,
        Action::Forget,
        Action::Back,
        Action::NextPicture,
        Action::Next,
        Action::Scroll,
        Action::Begin,
        Action::Follow,
    ];
    let mut all = vec![
        Screen::Counts(1, 2),
        Screen::NoConnection,
        Screen::NonePasses,
        Screen::Paused,
        Screen::Only("8080"),
        Screen::MoreOpen(2),
        Screen::LongGone,
        Screen::Waiting,
        Screen::Takes(40),
    ];
    all.extend(headings.map(Screen::Heading));
    all.extend(actions.map(Screen::Does));
    all.extend([Page::Ladder, Page::Rulers, Page::Findings].map(Screen::Page));
    for said in all {
        let [en, zh] = Lang::ALL.map(|lang| lang.words().screen(&said));
        is_told(&en, &zh);
    }
}

#[test]
fn what_is_missing_is_told_in_one_line_of_every_language() {
    let failed = || std::io::Error::other("EPIPE");
    let call = || DiagError::Call { operation: "recv()", source: failed() };
    let not_permitted = || CaptureError::NotPermitted { program: "/usr/bin/sockeye".into() };
    let system = || CaptureError::System { operation: "send()", source: failed() };
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], 8080));
    let lacks = [
        Lack::Capture(not_permitted(), false),
        Lack::Capture(not_permitted(), true),
        Lack::Capture(CaptureError::TooManyPorts { ports: 65 }, false),
        Lack::Capture(system(), true),
        Lack::Queues(call()),
        Lack::Queues(DiagError::NoTcp),
        Lack::Ends(call()),
        Lack::Stamps,
        Lack::Listener(local, system()),
        Lack::CaptureFailed(failed()),
        Lack::ListEnded(call()),
        Lack::QueuesEnded(call()),
    ];
    for lack in &lacks {
        let [en, zh] = Lang::ALL.map(|lang| lang.words().lack(lack));
        is_told(&en, &zh);
    }
    assert_eq!(lack::line(&[], Lang::Zh), None);
    let [en, zh] = Lang::ALL.map(|lang| lack::line(&lacks, lang).expect("much is missing"));
    assert!(en.starts_with("eye: no packet capture (CAP_NET_RAW is missing): "), "{en}");
    assert!(zh.starts_with("eye: 无法捕获数据包（缺少 CAP_NET_RAW）："), "{zh}");
    assert!(!zh.contains("; ") && !zh.contains('\n'), "{zh}");
}
