//! `sockeye connect` and the programs people have: nc, ncat, socat and Python, on every kind of
//! socket.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use crate::kit::need;
use crate::kit::said::Said;
use crate::kit::server::Ended;
use crate::kit::talk::{Python, Running, connect, fed, free_port};

on_every_driver!(
    datagrams_keep_their_borders,
    datagrams_over_ipv6,
    unix_datagrams,
    unix_sequenced_packets,
    an_abstract_unix_socket,
    a_stream_over_ipv6,
);

/// What the tools print is what was sent, and what they are fed is what is printed here.
#[track_caller]
fn with_tool(test: &str, command: &mut Command, endpoint: &str) {
    let program = command.get_program().to_str().unwrap().to_owned();
    if !need(test, &[&program]) {
        return;
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tool = Ended(command.spawn().unwrap());
    let heard = Said::by(tool.0.stdout.take().unwrap());
    let mut stdin = tool.0.stdin.take().unwrap();
    let (asked, answer) = ("a question\n".repeat(20_000), "an answer\n".repeat(20_000));
    // nc and ncat that listen leave when their peer has ended, with what they have still to say: there the
    // question stays open until the answer is there.
    let ends = program == "socat";
    let arguments: &[&str] =
        if ends { &["--retry", "30"] } else { &["--retry", "30", "--close-after", "1s"] };
    let mut running = Running::start(&mut connect(endpoint, arguments));
    running.type_in(&asked);
    if ends {
        running.end_input();
    }
    heard.wait("the question", |heard| (heard.len() == asked.len()).then_some(()));
    stdin.write_all(answer.as_bytes()).unwrap();
    drop(stdin);
    running.ended().printed(&answer);
    assert!(heard.all() == asked, "what {program} heard");
}

#[test]
fn nc_over_tcp() {
    let port = free_port().to_string();
    let mut command = Command::new("nc");
    command.args(["-l", "-N", "127.0.0.1", &port]);
    with_tool("nc_over_tcp", &mut command, &format!("127.0.0.1:{port}"));
}

#[test]
fn nc_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nc.sock");
    let mut command = Command::new("nc");
    command.args(["-l", "-N", "-U"]).arg(&path);
    with_tool("nc_over_a_unix_socket", &mut command, &format!("unix:{}", path.display()));
}

#[test]
fn ncat_over_tcp() {
    let port = free_port().to_string();
    let mut command = Command::new("ncat");
    command.args(["-l", "127.0.0.1", &port]);
    with_tool("ncat_over_tcp", &mut command, &format!("127.0.0.1:{port}"));
}

#[test]
fn socat_over_tcp_and_ipv6() {
    let port = free_port().to_string();
    for (listens, host) in [("TCP4-LISTEN", "127.0.0.1"), ("TCP6-LISTEN", "[::1]")] {
        let mut command = Command::new("socat");
        let listens = format!("{listens}:{port},bind={host},reuseaddr");
        // Without it, socat waits half a second for the other direction and loses the rest.
        command.args(["-t", "30", "-", &listens]);
        with_tool("socat_over_tcp_and_ipv6", &mut command, &format!("{host}:{port}"));
    }
}

#[test]
fn socat_over_an_abstract_unix_socket() {
    let name = format!("sockeye-test-{}", std::process::id());
    let mut command = Command::new("socat");
    command.args(["-t", "30", "-", &format!("ABSTRACT-LISTEN:{name}")]);
    with_tool("socat_over_an_abstract_unix_socket", &mut command, &format!("unix:@{name}"));
}

fn a_stream_over_ipv6(driver: &str) {
    if !need("a_stream_over_ipv6", &["python3"]) {
        return;
    }
    let peer = Python::serve("c = tcp('::1'); c.sendall(whole(c)[::-1])", &[]);
    let endpoint = format!("[::1]:{}", peer.ready);
    fed(&mut connect(&endpoint, &["--driver", driver]), "stressed").printed("desserts");
}

fn datagrams_keep_their_borders(driver: &str) {
    echoed_datagrams("127.0.0.1", driver);
}

fn datagrams_over_ipv6(driver: &str) {
    echoed_datagrams("[::1]", driver);
}

#[track_caller]
fn echoed_datagrams(host: &str, driver: &str) {
    let socket = UdpSocket::bind(format!("{host}:0")).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let arguments = ["--driver", driver, "--frame", "line", "--json", "--count", "3"];
    let mut running = Running::start(&mut connect(&endpoint, &arguments));
    running.type_in("one\n\nthree\n");
    running.end_input();
    let mut room = [0; 100];
    for expected in [&b"one\n"[..], b"\n", b"three\n"] {
        let (count, from) = socket.recv_from(&mut room).unwrap();
        assert_eq!(&room[..count], expected);
        socket.send_to(&room[..count], from).unwrap();
    }
    let outcome = running.ended();
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    let text = String::from_utf8(outcome.stdout).unwrap();
    let came: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["direction"] == "in")
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(came, ["one", "", "three"]);
}

#[test]
fn a_datagram_that_is_cut_is_told_with_its_true_length() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let arguments = ["--send", "x", "--max-frame", "100", "--count", "1"];
    let running = Running::start(&mut connect(&endpoint, &arguments));
    let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
    socket.send_to(&[b'y'; 3000], from).unwrap();
    let outcome = running.ended();
    let said = format!(
        "sockeye: {endpoint}: a message of 3000 B was cut to 100 B (allow more with --max-frame)\n"
    );
    assert_eq!(outcome.stderr, said);
    assert_eq!((outcome.code, outcome.stdout), (Some(1), vec![b'y'; 100]), "some is missing");
}

#[test]
fn datagrams_without_an_end_are_waited_for_a_second() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let running = Running::start(&mut connect(&endpoint, &["--send", "x"]));
    let (_, from) = socket.recv_from(&mut [0; 10]).unwrap();
    socket.send_to(b"an answer", from).unwrap();
    running.ended().printed("an answer");
}

#[test]
fn a_datagram_that_is_too_long_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let long = "x".repeat(70_000) + "\n";
    let outcome = fed(&mut connect(&endpoint, &["--frame", "line"]), long);
    let said = format!(
        "sockeye: {endpoint}: a message of 70001 B is too long for one datagram (send less at once; \
         input without --frame is cut to fit, see --datagram)\n"
    );
    outcome.failed(1, &said);
}

fn unix_datagrams(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let endpoint = format!("unix-dgram:{}", path.display());
    let arguments = ["--driver", driver, "--send", "a question", "--count", "1"];
    let running = Running::start(&mut connect(&endpoint, &arguments));
    let mut room = [0; 100];
    let (count, from) = socket.recv_from(&mut room).unwrap();
    assert_eq!(&room[..count], b"a question");
    // It has a name of its own, or nobody could answer; an abstract one, which a path can't say.
    socket.connect_addr(&from).unwrap();
    socket.send(b"an answer").unwrap();
    running.ended().printed("an answer");
}

fn unix_sequenced_packets(driver: &str) {
    if !need("unix_sequenced_packets", &["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets.sock");
    let _peer = Python::serve(
        "l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
         l.bind(sys.argv[1]); l.listen(); ready('there')\n\
         c, _ = l.accept()\n\
         got = []\n\
         while True:\n\
         \x20   part = c.recv(1000)\n\
         \x20   if not part: break\n\
         \x20   got.append(part)\n\
         time.sleep(0.2)\n\
         for part in got: c.send(part.upper())\n\
         c.close()",
        &[path.to_str().unwrap()],
    );
    let endpoint = format!("unix-seqpacket:{}", path.display());
    let arguments = ["--driver", driver, "--send", "one", "--send", "two", "--timestamps"];
    let outcome = fed(&mut connect(&endpoint, &arguments), "");
    let text = String::from_utf8(outcome.stdout).unwrap();
    let ends: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert_eq!((outcome.code, ends), (Some(0), vec!["ONE", "TWO"]));
}

fn an_abstract_unix_socket(driver: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("sockeye-test-{}-{driver}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let endpoint = format!("unix:@{name}");
    let running = Running::start(&mut connect(&endpoint, &["--driver", driver, "--send", "x"]));
    let (mut peer, _) = listener.accept().unwrap();
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    peer.write_all(said.repeat(3).as_bytes()).unwrap();
    drop(peer);
    running.ended().printed("xxx");
}
