//! The live face on a terminal: what it shows, and that the terminal is as it was before, whatever
//! ends it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use crate::kit::eventually;
use crate::kit::folder::site;
use crate::kit::server::sockeye;
use crate::kit::terminal::Terminal;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

fn watch(listener: &TcpListener, arguments: &[&str]) -> Command {
    let mut command = sockeye();
    command.arg("watch").arg(listener.local_addr().unwrap().to_string()).args(arguments);
    command.env("TERM", "xterm");
    command
}

fn begun(listener: &TcpListener, arguments: &[&str]) -> Terminal {
    let terminal = Terminal::of(watch(listener, arguments), 24, 100);
    terminal.screen.wait("its keys", |screen| screen.contains("q quit").then_some(()));
    terminal
}

fn wait_for(terminal: &Terminal, what: &str) {
    terminal.screen.wait(what, |screen| screen.contains(what).then_some(()));
}

/// Waits until this is shown after what was shown so far.
fn wait_for_more(terminal: &Terminal, shown: usize, what: &str) {
    terminal.screen.wait(what, |screen| {
        screen.get(shown..).is_some_and(|more| more.contains(what)).then_some(())
    });
}

#[test]
fn a_connection_appears_is_opened_and_grows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = begun(&listener, &[]);
    wait_for(&terminal, "no connection yet");
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(b"a\x1b]0;title\x07").unwrap();
    server.read_exact(&mut [0; 11]).unwrap();
    wait_for(&terminal, &peer.to_string());
    wait_for(&terminal, "11/0");
    terminal.press(b"\r");
    wait_for(&terminal, "[ladder]");
    wait_for(&terminal, "ESTAB");
    terminal.press(b"\t\t");
    wait_for(&terminal, "[findings]");
    wait_for(&terminal, "is still open");
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    wait_for(&terminal, "closed first");
    terminal.press(b"\x1b");
    wait_for(&terminal, "1 ended");
    terminal.press(b"q");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(screen.ends_with(LEAVE) && !screen.contains('\x07'), "{screen:?}");
}

#[test]
fn it_fits_the_terminal_that_it_is_on_and_knows_no_colour_where_there_shall_be_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = watch(&listener, &["--ascii"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::of(command, 10, 40);
    // The keys are on its last line.
    wait_for(&terminal, "\x1b[10;1H\x1b[m\x1b[2Kq quit");
    let shown = terminal.screen.so_far().len();
    terminal.resize(30, 120);
    // It has no controlling terminal here, so the kernel tells nobody.
    kill_process(Pid::from_child(&terminal.child.0), Signal::WINCH).unwrap();
    wait_for_more(&terminal, shown, "\x1b[30;1H\x1b[m\x1b[2Kq quit");
    terminal.press(b"q");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(!screen.contains("\x1b[1m") && !screen.contains("\x1b[2m"), "{screen:?}");
    assert!(screen.is_ascii(), "{screen:?}");
}

#[test]
fn ctrl_c_signals_and_a_time_that_is_up_give_the_terminal_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut by_key = begun(&listener, &[]);
    by_key.press(b"\x03");
    let by_signal = begun(&listener, &[]);
    kill_process(Pid::from_child(&by_signal.child.0), Signal::TERM).unwrap();
    let by_hangup = begun(&listener, &[]);
    kill_process(Pid::from_child(&by_hangup.child.0), Signal::HUP).unwrap();
    let by_time = begun(&listener, &["--for", "1s"]);
    for terminal in [by_key, by_signal, by_hangup, by_time] {
        // Asked of the terminal itself, too, that it is as it was before.
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(0), "{screen:?}");
        // What is said behind the face stands on the terminal that was given back.
        let said = screen.rsplit_once(LEAVE).map(|(_, said)| said);
        assert_eq!(said, Some("eye: no connection was seen\r\n"), "{screen:?}");
    }
}

#[test]
fn the_shell_has_the_terminal_while_it_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut by_key = begun(&listener, &[]);
    by_key.press(b"\x1a");
    let by_signal = begun(&listener, &[]);
    kill_process(Pid::from_child(&by_signal.child.0), Signal::TSTP).unwrap();
    for mut terminal in [by_key, by_signal] {
        let pid = Pid::from_child(&terminal.child.0);
        eventually("that it is stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.unwrap().rsplit_once(") ")?.1.starts_with('T').then_some(())
        });
        wait_for(&terminal, LEAVE);
        let modes = tcgetattr(&terminal.device).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        let shown = terminal.screen.so_far().len();
        kill_process(pid, Signal::CONT).unwrap();
        wait_for_more(&terminal, shown, ENTER);
        wait_for_more(&terminal, shown, "q quit");
        terminal.press(b"q");
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(0), "{screen:?}");
    }
}

#[test]
fn plain_or_on_a_dumb_terminal_it_is_text() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut dumb = watch(&listener, &[]);
    dumb.env("TERM", "dumb");
    for command in [watch(&listener, &["--plain"]), dumb] {
        let mut terminal = Terminal::of(command, 24, 80);
        wait_for(&terminal, "(Ctrl-C ends)");
        kill_process(Pid::from_child(&terminal.child.0), Signal::INT).unwrap();
        terminal.press(b"");
        let (code, screen) = terminal.ended();
        assert_eq!(code, Some(0), "{screen:?}");
        assert!(!screen.contains('\x1b'), "{screen:?}");
    }
}

#[test]
fn a_server_with_a_live_eye_says_where_it_is_and_ends_by_key() {
    let folder = site();
    let mut command = sockeye();
    command
        .arg("serve")
        .arg(folder.path())
        .args(["--port", "0", "--eye=live"])
        .env("TERM", "xterm");
    let mut terminal = Terminal::of(command, 24, 100);
    wait_for(&terminal, "q quit");
    let said = terminal.screen.so_far();
    let (_, url) = said.split_once(" on http://").unwrap();
    let (address, _) = url.split_once('/').unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    wait_for(&terminal, "1 ended");
    terminal.press(b"\r");
    wait_for(&terminal, "[ladder]");
    terminal.press(b"q");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(screen.contains(LEAVE), "{screen:?}");
}

#[test]
fn a_service_with_a_live_eye_says_where_it_listens_on_the_screen_that_stays() {
    let mut command = sockeye();
    command.args(["listen", "127.0.0.1:0", "--echo", "--eye=live"]).env("TERM", "xterm");
    let mut terminal = Terminal::of(command, 24, 100);
    let address = terminal.screen.wait("where it listens", |screen| {
        let (_, behind) = screen.split_once("listening on tcp://")?;
        let end = behind
            .find(|letter: char| letter != ':' && letter != '.' && !letter.is_ascii_digit())?;
        Some(behind[..end].to_owned())
    });
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    wait_for(&terminal, "5/5");
    drop(client);
    wait_for(&terminal, "1 ended");
    terminal.press(b"q");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen:?}");
    // Before the face had the terminal, or kept until it gave that back.
    let (before, rest) = screen.split_once(ENTER).unwrap();
    let (_, behind) = rest.rsplit_once(LEAVE).unwrap();
    assert!([before, behind].concat().contains(&format!("listening on tcp://{address}")));
}

#[test]
fn without_a_terminal_a_live_eye_is_refused_and_of_those_that_talk_always() {
    let (code, _, said) = crate::kit::server::run(
        sockeye().args(["serve", "--port", "0", "--eye=live"]).stdin(std::process::Stdio::null()),
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--eye=live: standard input and standard error are no terminal"),
        "{said}"
    );
    let (code, _, said) = crate::kit::server::run(
        sockeye().args(["connect", "127.0.0.1:9", "--eye=live"]).stdin(std::process::Stdio::null()),
    );
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--eye=live is of serve, and of listen with a service"), "{said}");
}
