//! Options of endpoints, as the kernel has them afterwards; and files of Unix sockets.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use sockeye_engine::{
    Connected, DriverKind, Endpoint, Listening, OptionValue, SocketDescription, describe,
    option_help,
};

use crate::{engine, skip};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(description: &SocketDescription, name: &str) -> String {
    let row = description.options.iter().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("{name} in {description:?}")).value.to_string()
}

/// Connected as the text says, to somebody who is there.
fn connected(scheme: &str, any: &str, query: &str) -> Result<SocketDescription, String> {
    let (tcp, udp);
    let address = if scheme == "tcp" {
        tcp = TcpListener::bind(any).expect("a free port");
        tcp.local_addr().expect("bound")
    } else {
        udp = UdpSocket::bind(any).expect("a free port");
        udp.local_addr().expect("bound")
    };
    engine(DriverKind::EpollEdge).block_on(async {
        let connected = endpoint(&format!("{scheme}://{address}?{query}")).connect().await;
        connected.map(|one| one.describe().expect("a socket")).map_err(|error| error.to_string())
    })
}

/// The option, the name in the manual, and what is read back.
const TCP: &[(&str, &str, &str)] = &[
    ("nodelay", "TCP_NODELAY", "on"),
    ("nodelay=off", "TCP_NODELAY", "off"),
    ("keepalive", "SO_KEEPALIVE", "on"),
    ("keepalive=61,7,5", "TCP_KEEPIDLE", "61"),
    ("keepalive=61,7,5", "TCP_KEEPINTVL", "7"),
    ("keepalive=61,7,5", "TCP_KEEPCNT", "5"),
    ("keepalive=off", "SO_KEEPALIVE", "off"),
    ("rcvbuf=64k", "SO_RCVBUF", "131072"),
    ("sndbuf=64k", "SO_SNDBUF", "131072"),
    ("reuseaddr", "SO_REUSEADDR", "on"),
    ("reuseport", "SO_REUSEPORT", "on"),
    ("linger=3s", "SO_LINGER", "3"),
    ("linger=0", "SO_LINGER", "0"),
    ("interface=lo", "SO_BINDTODEVICE", "lo"),
    ("mark=7", "SO_MARK", "7"),
    ("congestion=reno", "TCP_CONGESTION", "reno"),
    ("user-timeout=1500ms", "TCP_USER_TIMEOUT", "1500"),
];
const V4: &[(&str, &str, &str)] = &[("ttl=9", "IP_TTL", "9"), ("tos=16", "IP_TOS", "16")];
const V6: &[(&str, &str, &str)] =
    &[("ttl=9", "IPV6_UNICAST_HOPS", "9"), ("tos=16", "IPV6_TCLASS", "16")];
const UDP: &[(&str, &str, &str)] = &[
    ("broadcast", "SO_BROADCAST", "on"),
    ("rcvbuf=8k", "SO_RCVBUF", "16384"),
    ("ttl=9", "IP_MULTICAST_TTL", "9"),
    ("loop=off", "IP_MULTICAST_LOOP", "off"),
    ("loop", "IP_MULTICAST_LOOP", "on"),
];

#[test]
fn each_option_is_read_back_from_the_socket() {
    const TEST: &str = "each_option_is_read_back_from_the_socket";
    let root = rustix::process::geteuid().is_root();
    for (scheme, any, rows) in [
        ("tcp", "127.0.0.1:0", TCP),
        ("tcp", "[::1]:0", TCP),
        ("tcp", "127.0.0.1:0", V4),
        ("tcp", "[::1]:0", V6),
        ("udp", "127.0.0.1:0", V4),
        ("udp", "[::1]:0", V6),
        ("udp", "127.0.0.1:0", UDP),
    ] {
        for (query, name, expected) in rows {
            match connected(scheme, any, query) {
                Ok(description) => {
                    assert_eq!(value(&description, name), *expected, "{scheme} {any} {query}");
                }
                // Everybody else is told what is missing.
                Err(error) if !root && error.contains("needs CAP_NET") => skip(TEST, &error),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let description = connected("tcp", "127.0.0.1:0", "mss=1000").expect("it listens");
    let mss: i64 = value(&description, "TCP_MAXSEG").parse().expect("a number");
    assert!((500..=1000).contains(&mss), "{mss}: less what TCP's own options take");
}

#[test]
fn what_a_listener_is_asked_its_connections_have() {
    engine(DriverKind::EpollEdge).block_on(async {
        let text = "tcp://127.0.0.1:0?nodelay=off&rcvbuf=64k&keepalive=61&ttl=9&backlog=3";
        let listening = endpoint(text).listen().await.expect("free");
        let [listening] = &listening[..] else { panic!("one address") };
        let Listening::Stream(listener) = listening else { panic!("a listener") };
        let address = listener.local_addr().expect("bound").ip().expect("of the internet");
        let _client = std::net::TcpStream::connect(address).expect("it listens");
        let accepted = listener.accept().await.expect("nobody stops us").expect("a connection");
        for described in [listening.describe(), Connected::Stream(accepted).describe()] {
            let described = described.expect("a socket");
            for (name, expected) in [
                ("SO_REUSEADDR", "on"),
                ("TCP_NODELAY", "off"),
                ("SO_RCVBUF", "131072"),
                ("SO_KEEPALIVE", "on"),
                ("TCP_KEEPIDLE", "61"),
                ("IP_TTL", "9"),
            ] {
                assert_eq!(value(&described, name), expected, "{name} {:?}", described.state);
            }
        }
    });
}

#[test]
fn every_option_of_an_endpoint_that_a_socket_has_is_described() {
    let tcp = connected("tcp", "127.0.0.1:0", "nodelay").expect("it listens");
    let udp = connected("udp", "127.0.0.1:0", "ttl=9").expect("it is there");
    for help in option_help() {
        // These are acts, or of files.
        if ["bind", "backlog", "connect-timeout", "join", "mode", "owner"].contains(&help.name) {
            continue;
        }
        let rows = tcp.options.iter().chain(&udp.options);
        let found = rows.filter(|row| row.endpoint_option == Some(help.name)).count();
        assert!(found > 0, "{}", help.name);
    }
}

#[test]
fn a_buffer_larger_than_the_system_allows_is_refused_and_not_cut_in_silence() {
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("of this kernel");
    let limit: u64 = limit.trim().parse().expect("a number");
    let query = format!("rcvbuf={}", (limit * 2).min(1 << 30));
    match connected("tcp", "127.0.0.1:0", &query) {
        // CAP_NET_ADMIN may have more.
        Ok(description) => {
            let got: u64 = value(&description, "SO_RCVBUF").parse().expect("a number");
            assert_eq!(got, limit * 4);
        }
        Err(error) => assert!(error.contains("net.core.rmem_max"), "{error}"),
    }
}

#[test]
fn a_socket_is_described_with_what_it_would_be_if_nobody_had_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("bound"));
    let client = client.expect("it listens");
    let description = describe(&listener).expect("a socket");
    assert_eq!(description.descriptor, listener.as_raw_fd());
    assert_eq!((&*description.family, &*description.kind), ("ipv4", "stream"));
    assert_eq!(description.protocol.as_deref(), Some("tcp"));
    assert_eq!((description.state, description.peer.as_deref()), (Some("LISTEN"), None));
    assert_eq!(value(&description, "SO_ACCEPTCONN"), "on");
    let description = describe(&client).expect("a socket");
    assert_eq!(description.state, Some("ESTABLISHED"));
    assert_eq!(description.peer, Some(listener.local_addr().expect("bound").to_string()));
    client.set_nodelay(true).expect("an option");
    let changed = |description: &SocketDescription| -> Vec<&'static str> {
        let rows = description.options.iter().filter(|row| row.is_changed());
        // TCP sizes its buffers itself.
        rows.map(|row| row.name).filter(|name| !name.ends_with("BUF")).collect()
    };
    assert_eq!(changed(&describe(&client).expect("a socket")), ["TCP_NODELAY"]);
    for socket in [UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("[::1]:0")] {
        let description = describe(socket.expect("a free port")).expect("a socket");
        assert_eq!(description.protocol.as_deref(), Some("udp"));
        // An address of IPv6 has no part in IPv4 (inet6_bind).
        let expected = if description.family == "ipv6" { vec!["IPV6_V6ONLY"] } else { vec![] };
        assert_eq!(changed(&description), expected);
    }
    let (unix, _other) = UnixStream::pair().expect("a pair");
    let description = describe(&unix).expect("a socket");
    assert_eq!((&*description.family, description.protocol), ("unix", None));
    let error = describe(std::io::stdin().lock()).err().or_else(|| {
        let file = std::fs::File::open("/proc/self/stat").expect("everywhere");
        describe(file).err()
    });
    assert!(error.is_some(), "a file is no socket");
}

#[test]
fn a_description_is_written_as_json() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let description = describe(&socket).expect("a socket");
    let json = serde_json::to_value(&description).expect("text");
    assert_eq!(json["type"], "datagram");
    assert_eq!(json["local"], socket.local_addr().expect("bound").to_string());
    let rows: BTreeMap<_, _> = json["options"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["name"].as_str().expect("a name"), row))
        .collect();
    assert_eq!(rows["SO_BROADCAST"]["value"], false);
    assert_eq!(rows["SO_RCVBUF"]["unit"], "bytes");
    assert_eq!(rows["SO_RCVBUF"]["default_from"], "net.core.rmem_default");
    let receive = description.options.iter().find(|row| row.name == "SO_RCVBUF");
    assert!(matches!(receive.expect("a row").default, Some(OptionValue::Number(_))));
}

#[test]
fn a_group_is_joined_and_heard() {
    const TEST: &str = "a_group_is_joined_and_heard";
    engine(DriverKind::EpollEdge).block_on(async {
        let group = "239.255.77.1";
        let text = format!("udp://{group}:0?join={group}&interface=lo");
        let listening = match endpoint(&text).listen().await {
            Ok(listening) => listening,
            Err(error) => return skip(TEST, &error.to_string()),
        };
        let [Listening::Datagram(socket)] = &listening[..] else { panic!("a socket") };
        let port = socket.local_addr().expect("bound").ip().expect("of the internet").port();
        let text = format!("udp://{group}:{port}?interface=lo&ttl=1&bind=127.0.0.1");
        let connected = endpoint(&text).connect().await;
        let Ok(Connected::Datagram(sender)) = connected else { panic!("{connected:?}") };
        sender.send(b"to all").await.expect("it leads there");
        assert_eq!(&socket.recv().await.expect("received").bytes[..], b"to all");
        let text = format!("udp://127.0.0.1:0?join={group}&interface=nonesuch0");
        let error = endpoint(&text).listen().await.err().expect("no such interface").to_string();
        assert!(error.contains("interface=nonesuch0: no such device (no interface"), "{error}");
        let error = endpoint("udp://127.0.0.1:0?join=ff02::1").listen().await.err();
        let error = error.expect("not of one family").to_string();
        assert!(
            error.contains("join=ff02::1: the group and the socket are of different"),
            "{error}"
        );
    });
}

async fn listen(path: &Path, scheme: &str, query: &str) -> Result<Vec<Listening>, String> {
    let text = format!("{scheme}://{}{query}", path.display());
    endpoint(&text).listen().await.map_err(|error| error.to_string())
}

#[test]
fn the_file_of_a_unix_socket_has_its_mode_and_its_owner() {
    engine(DriverKind::EpollEdge).block_on(async {
        for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("socket");
            for mode in [0o600, 0o666, 0o777, 0o060] {
                let _socket =
                    listen(&path, scheme, &format!("?mode={mode:o}")).await.expect("free");
                let found = path.symlink_metadata().expect("it is there").permissions().mode();
                assert_eq!(found & 0o7777, mode, "{scheme}");
            }
            if rustix::process::geteuid().is_root() {
                let query = "?mode=0660&owner=12345:54321";
                let _socket = listen(&path, scheme, query).await.expect("free");
                let found = path.symlink_metadata().expect("it is there");
                assert_eq!((found.uid(), found.gid()), (12345, 54321), "{scheme}");
                assert_eq!(found.permissions().mode() & 0o7777, 0o660, "{scheme}");
            } else {
                let error = listen(&path, scheme, "?owner=0").await.err().expect("not allowed");
                assert!(error.contains("owner=0: ") && error.contains("CAP_CHOWN"), "{error}");
            }
            assert!(!path.exists(), "{scheme}: it goes with its socket, also with one that failed");
            let error = listen(&path, scheme, "?owner=nobody-of-this-name").await.err();
            assert!(error.expect("nobody").contains("no user is called nobody-of-this-name"));
        }
    });
}

#[test]
fn a_name_left_behind_is_taken_and_a_living_one_or_a_file_is_not() {
    engine(DriverKind::EpollEdge).block_on(async {
        for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("socket");
            drop(UnixDatagram::bind(&path).expect("free"));
            let ours = listen(&path, scheme, "").await.expect("nobody is behind it");
            let error = listen(&path, scheme, "").await.err().expect("we are");
            assert!(error.contains("bind: address already in use (this program itself"), "{error}");
            drop(ours);
            assert!(!path.exists(), "{scheme}");
            let theirs = UnixListener::bind(&path).expect("free");
            let error = listen(&path, scheme, "").await.err().expect("they are");
            assert!(error.contains("bind: address already in use"), "{error}");
            drop(theirs);
            std::fs::remove_file(&path).expect("left behind");
            std::fs::write(&path, "precious").expect("a file");
            let error = listen(&path, scheme, "").await.err().expect("a file");
            assert!(error.contains("a file that is no socket has this name"), "{error}");
            assert_eq!(std::fs::read(&path).expect("it is there"), b"precious");
        }
    });
}

/// Between bind and listen a socket looks dead; of several servers that come at once exactly one
/// may have the name, and it must keep it.
#[test]
fn of_servers_that_want_one_dead_name_at_once_one_gets_it() {
    for _ in 0..50 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("free"));
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            let one = || {
                let engine = engine(DriverKind::Epoll);
                barrier.wait();
                let got = engine.block_on(listen(&path, "unix", ""));
                let has = got.is_ok();
                // All have tried before the first one lets go.
                barrier.wait();
                if has {
                    UnixStream::connect(&path).expect("who got it is to be found");
                }
                drop(got);
                has
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            let got = threads.into_iter().map(|one| one.join().expect("no panic"));
            assert_eq!(got.filter(|got| *got).count(), 1);
        });
    }
}

#[test]
fn the_program_that_has_an_address_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    // A program that has our listener for its standard input, and now alone.
    let mut sleep = Command::new("sleep")
        .arg("60")
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stdout(Stdio::null())
        .spawn()
        .expect("it is everywhere");
    let got = engine(DriverKind::EpollEdge)
        .block_on(endpoint(&format!("tcp://127.0.0.1:{port}")).listen());
    let pid = sleep.id();
    sleep.kill().expect("it runs");
    sleep.wait().expect("it ends");
    let error = got.err().expect("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let holder = format!("bind: address already in use (sleep, pid {pid}, has it; stop it, or");
    assert!(error.to_string().contains(&holder), "{error}");
}
