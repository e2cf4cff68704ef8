//! `sockeye connect` on a terminal: what is typed is edited, and what a peer sends is harmless.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::kit::PATIENCE;
use crate::kit::talk::connect;
use crate::kit::terminal::Terminal;

on_every_driver!(what_is_typed_is_edited_and_what_comes_is_harmless);

fn on_terminal(endpoint: &str, arguments: &[&str]) -> Terminal {
    Terminal::of(connect(endpoint, arguments), 25, 100)
}

fn what_is_typed_is_edited_and_what_comes_is_harmless(driver: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = on_terminal(&address, &["--driver", driver]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all("\x1b]0;title\x07\x1b[5n\u{9b}6n\u{202e}\x08 文件\r\n".as_bytes()).unwrap();
    let harmless = r"\x1b]0;title\x07\x1b[5n\u{9b}6n\u{202e}\x08 文件";
    terminal.screen.wait("what came", |screen| screen.contains(harmless).then_some(()));
    // A letter too many, and the key that takes it away.
    terminal.press(b"helloo\x7f\r");
    let mut line = [0; 6];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(line, *b"hello\n");
    // Up: the line before.
    terminal.press(b"\x1b[A!\r");
    let mut line = [0; 7];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(line, *b"hello!\n");
    // Ctrl-D ends the input, and what comes later is shown.
    terminal.press(b"\x04");
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"good\x1bbye\n").unwrap();
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(screen.contains(r"good\x1bbye"), "{screen:?}");
    assert!(!screen.contains(['\u{9b}', '\u{202e}', '\x07']), "{screen:?}");
}

#[test]
fn a_peer_that_closes_ends_it_while_somebody_types() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = on_terminal(&address, &[]);
    let (peer, _) = listener.accept().unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"half a li");
    terminal.screen.wait("the echo", |screen| screen.contains("half a li").then_some(()));
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
}

#[test]
fn ctrl_c_while_typing_exits_with_130() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = on_terminal(&address, &[]);
    let (_peer, _) = listener.accept().unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"\x03");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen:?}");
}

#[test]
fn lines_that_are_pasted_together_are_all_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut terminal = on_terminal(&address, &[]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    terminal.screen.wait("the prompt", |screen| screen.contains("> ").then_some(()));
    terminal.press(b"one\rtwo\rthree\r\x04");
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "one\ntwo\nthree\n");
    drop(peer);
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
}

#[test]
fn an_error_begins_a_line_of_its_own() {
    for (arguments, shown) in [
        (&["--send", "x"][..], "part\r\n"),
        (&["--send", "x"], "a line\r\n"),
        (&["--send", "x", "--raw-output"], "part\r\n"),
        (&["--send", "x", "--timestamps"], "part\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let terminal = on_terminal(&address, arguments);
        let (mut peer, _) = listener.accept().unwrap();
        peer.peek(&mut [0]).unwrap();
        let said = if shown == "part\r\n" { "part" } else { "a line\n" };
        peer.write_all(said.as_bytes()).unwrap();
        terminal.screen.wait("what came", |screen| screen.contains(said.trim()).then_some(()));
        // Closing with unread bytes is a reset.
        drop(peer);
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(1), "{screen:?}");
        assert!(screen.contains(&format!("{shown}sockeye: tcp://")), "{arguments:?}: {screen:?}");
    }
}

#[test]
fn raw_output_is_what_the_peer_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let terminal = on_terminal(&address, &["--raw-output"]);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"\x1b[1mbold\x1b[m").unwrap();
    terminal.screen.wait("what came", |screen| screen.contains("\x1b[1mbold\x1b[m").then_some(()));
    drop(peer);
    let (code, _) = terminal.ended();
    assert_eq!(code, Some(0));
}
