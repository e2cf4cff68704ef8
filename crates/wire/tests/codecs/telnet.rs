//! Telnet's data, commands and options.

use proptest::prelude::*;
use sockeye_wire::telnet::{Command, Event, MAX_SUBNEGOTIATION, Opt, Telnet, Verb};

use crate::checks::{self, Heard, listen};

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;

/// Hears all of it and gives the answer.
fn answer(telnet: &mut Telnet, mut said: &[u8]) -> Vec<u8> {
    while telnet.next(&mut said).is_some() {}
    telnet.take_reply()
}

#[test]
fn everything_is_refused_but_binary_go_ahead_and_an_echo_of_the_server() {
    for option in 0..=255 {
        let harmless = option == 0 || option == 3;
        let yes_or_no = |yes: bool, verbs: [u8; 2]| [IAC, verbs[usize::from(!yes)], option];
        let client = |said: u8| answer(&mut Telnet::client(), &[IAC, said, option]);
        let server = |said: u8| answer(&mut Telnet::server(), &[IAC, said, option]);
        assert_eq!(client(WILL), yes_or_no(harmless || option == 1, [DO, DONT]));
        assert_eq!(client(DO), yes_or_no(harmless, [WILL, WONT]));
        assert_eq!(server(WILL), yes_or_no(harmless, [DO, DONT]));
        assert_eq!(server(DO), yes_or_no(harmless || option == 1, [WILL, WONT]));
        // What is off stays off without a word.
        assert_eq!(client(WONT), b"");
        assert_eq!(client(DONT), b"");
    }
}

#[test]
fn what_is_agreed_is_not_confirmed_again() {
    let mut client = Telnet::client();
    assert_eq!(answer(&mut client, &[IAC, WILL, 1]), [IAC, DO, 1]);
    assert!(client.peer_performs(Opt::ECHO) && !client.performs(Opt::ECHO));
    assert_eq!(answer(&mut client, &[IAC, WILL, 1]), b"");
    assert_eq!(answer(&mut client, &[IAC, WONT, 1]), [IAC, DONT, 1]);
    assert!(!client.peer_performs(Opt::ECHO));
    assert_eq!(answer(&mut client, &[IAC, WONT, 1]), b"");
}

#[test]
fn a_mind_changed_while_an_answer_is_on_its_way_waits_for_it() {
    // RFC 1143 §7, the rows of WANTYES and WANTNO.
    let mut server = Telnet::server();
    server.offer(Opt::ECHO, true);
    assert_eq!(server.take_reply(), [IAC, WILL, 1]);
    server.offer(Opt::ECHO, false);
    assert_eq!(server.take_reply(), b"");
    assert_eq!(answer(&mut server, &[IAC, DO, 1]), [IAC, WONT, 1]);
    server.offer(Opt::ECHO, true);
    assert_eq!(server.take_reply(), b"");
    assert_eq!(answer(&mut server, &[IAC, DONT, 1]), [IAC, WILL, 1]);
    assert_eq!(answer(&mut server, &[IAC, DO, 1]), b"");
    assert!(server.performs(Opt::ECHO));
    // A DO where only a DONT may come is the peer's mistake, and ends in no.
    server.offer(Opt::ECHO, false);
    assert_eq!(server.take_reply(), [IAC, WONT, 1]);
    assert_eq!(answer(&mut server, &[IAC, DO, 1]), b"");
    assert!(!server.performs(Opt::ECHO));
}

#[test]
fn data_and_commands_are_told_apart_wherever_they_are_cut() {
    let stream = [
        b"a\xff\xffb\r\0c\r\nd".as_slice(),
        &[IAC, 246, IAC, SB, 24, 0, IAC, IAC, b'x', IAC, SE, IAC, DO, 31],
        b"e\r",
    ]
    .concat();
    for piece in 1..=stream.len() {
        let (heard, reply) = listen(&stream, piece);
        assert_eq!(
            heard,
            [
                Heard::Data(b"a\xffb\rc\r\nd".to_vec()),
                Heard::Other(Event::Command(Command::ARE_YOU_THERE)),
                Heard::Other(Event::Subnegotiation {
                    option: Opt(24),
                    data: vec![0, 255, b'x'],
                    incomplete: false
                }),
                Heard::Other(Event::Negotiation { verb: Verb::Do, option: Opt(31) }),
                Heard::Data(b"e\r".to_vec()),
            ]
        );
        assert_eq!(reply, [IAC, WONT, 31]);
    }
}

#[test]
fn a_nul_behind_a_cr_is_data_once_binary_is_agreed() {
    let mut client = Telnet::client();
    let mut sent = Vec::new();
    client.encode(b"a\rb\r\nc\r", &mut sent);
    assert_eq!(sent, b"a\r\0b\r\nc\r\0");
    answer(&mut client, &[IAC, WILL, 0, IAC, DO, 0]);
    let mut input: &[u8] = b"a\r\0b";
    assert_eq!(client.next(&mut input), Some(Event::Data(b"a\r\0b")));
    sent.clear();
    client.encode(b"a\rb\xff", &mut sent);
    assert_eq!(sent, b"a\rb\xff\xff");
}

#[test]
fn a_subnegotiation_is_kept_up_to_its_limit() {
    let mut stream = vec![IAC, SB, 39];
    stream.extend(vec![b'x'; MAX_SUBNEGOTIATION * 3]);
    stream.extend([IAC, SE, b'.']);
    let (heard, _) = listen(&stream, 1000);
    let data = vec![b'x'; MAX_SUBNEGOTIATION];
    let cut = Event::Subnegotiation { option: Opt(39), data, incomplete: true };
    assert_eq!(heard, [Heard::Other(cut), Heard::Data(b".".to_vec())]);
}

#[test]
fn a_command_within_a_subnegotiation_ends_it_and_counts() {
    let (heard, reply) = listen(&[IAC, SB, 24, 1, IAC, DO, 24, b'.'], 3);
    let cut = Event::Subnegotiation { option: Opt(24), data: vec![1], incomplete: true };
    let asked = Event::Negotiation { verb: Verb::Do, option: Opt(24) };
    assert_eq!(heard, [Heard::Other(cut), Heard::Other(asked), Heard::Data(b".".to_vec())]);
    assert_eq!(reply, [IAC, WONT, 24]);
}

#[test]
fn a_stream_that_ends_within_a_command_is_noticed() {
    for (stream, within) in [(&b"a\r"[..], false), (b"a\xff", true), (b"a\xff\xfa\x18ab", true)] {
        let mut telnet = Telnet::client();
        answer(&mut telnet, stream);
        assert_eq!(telnet.within_command(), within);
    }
}

proptest! {
    #[test]
    fn two_ends_that_change_their_minds_agree_and_fall_silent(
        script in prop::collection::vec(0..64_u8, 0..200),
    ) {
        checks::telnet(&[&[0], &script[..]].concat());
    }

    #[test]
    fn any_bytes_are_heard_alike_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 2..100),
        commands in prop::collection::vec(
            prop_oneof![240..=255_u8, 0..4_u8, Just(b'\r'), Just(24)], 2..100,
        ),
    ) {
        checks::telnet(&bytes);
        checks::telnet(&commands);
    }
}
