//! How endpoints are written, and what is said of those that are none.

use std::time::Duration;

use proptest::prelude::*;
use sockeye_engine::{
    Endpoint, EndpointKind, Keepalive, LocalEnd, Owner, SocketOptions, UnixAddress, option_help,
};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn options(text: &str) -> SocketOptions {
    endpoint(text).options().clone()
}

#[test]
fn endpoints_are_written_as_in_the_manual() {
    for (text, shown) in [
        ("tcp://127.0.0.1:8888", "tcp://127.0.0.1:8888"),
        ("0.0.0.0:0", "tcp://0.0.0.0:0"),
        ("tcp://[::1]:80", "tcp://[::1]:80"),
        ("[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"),
        ("example.org:443", "tcp://example.org:443"),
        ("example.org:http", "tcp://example.org:http"),
        ("udp://127.0.0.1:53", "udp://127.0.0.1:53"),
        ("unix:///run/a b.sock", "unix:///run/a b.sock"),
        ("unix:/run/web.sock", "unix:///run/web.sock"),
        ("unix:web.sock", "unix://web.sock"),
        ("unix:a%3fb%25", "unix://a%3Fb%25"),
        ("unix:@web", "unix:@web"),
        ("unix:@a%00b", "unix:@a%00b"),
        ("unix://@web", "unix://@web"),
        ("unix-dgram:/run/log", "unix-dgram:///run/log"),
        ("unix-seqpacket:@x", "unix-seqpacket:@x"),
        ("-", "-"),
        ("h:1?nodelay=off&rcvbuf=65536", "tcp://h:1?nodelay=off&rcvbuf=64k"),
        ("h:1?sndbuf=1000&nodelay", "tcp://h:1?nodelay&sndbuf=1000"),
        ("h:1?keepalive=60,10s,3", "tcp://h:1?keepalive=60s,10s,3"),
        ("h:1?connect-timeout=1500ms&linger=0", "tcp://h:1?linger=0s&connect-timeout=1500ms"),
        ("h:1?mark=0x10&bind=[::1]:5", "tcp://h:1?mark=16&bind=[::1]:5"),
        ("udp://h:1?join=239.1.2.3&join=ff02::1", "udp://h:1?join=239.1.2.3&join=ff02::1"),
        ("unix:/x?mode=660&owner=root:www", "unix:///x?mode=0660&owner=root:www"),
    ] {
        let read = endpoint(text);
        assert_eq!(read.to_string(), shown);
        assert_eq!(endpoint(shown), read, "{shown}");
    }
}

#[test]
fn what_is_written_is_what_is_meant() {
    assert_eq!(endpoint("udp://h:53").kind(), EndpointKind::Udp);
    assert_eq!(endpoint("[fe80::1%eth0]:80").host(), Some("fe80::1%eth0"));
    assert_eq!(
        endpoint("unix:%2Frun%2F%3F").unix(),
        Some(&UnixAddress::Path("/run/?".into())),
        "percent-decoded"
    );
    let all = options(
        "h:1?nodelay&keepalive=60,10,3&rcvbuf=64k&sndbuf=1M&reuseaddr=off&reuseport&linger=5s&ttl=9\
         &tos=16&mark=7&interface=eth0&bind=:99&mss=1000&congestion=reno&user-timeout=10s&backlog=5\
         &connect-timeout=2s",
    );
    let expected = SocketOptions {
        nodelay: Some(true),
        keepalive: Some(Keepalive::On {
            idle: Some(Duration::from_secs(60)),
            then: Some((Duration::from_secs(10), 3)),
        }),
        receive_buffer: Some(65_536),
        send_buffer: Some(1 << 20),
        reuse_address: Some(false),
        reuse_port: Some(true),
        linger: Some(Duration::from_secs(5)),
        ttl: Some(9),
        tos: Some(16),
        mark: Some(7),
        interface: Some("eth0".to_owned()),
        bind: Some(LocalEnd::Ip(None, 99)),
        mss: Some(1000),
        congestion: Some("reno".to_owned()),
        user_timeout: Some(Duration::from_secs(10)),
        backlog: Some(5),
        connect_timeout: Some(Duration::from_secs(2)),
        ..SocketOptions::default()
    };
    assert_eq!(all, expected);
    let unix = options("unix-dgram:/x?bind=/y%26z&mode=0600&owner=:www");
    assert_eq!(unix.bind, Some(LocalEnd::Unix(UnixAddress::Path("/y&z".into()))));
    assert_eq!(unix.mode, Some(0o600));
    assert_eq!(unix.owner, Some(Owner { user: None, group: Some("www".to_owned()) }));
}

/// The text, the marks below it, and a part of the way out.
const WRONG: &[(&str, &str, &str)] = &[
    ("tls://h:1", "^^^ tls:// is not there yet, it comes later", "write tcp://"),
    ("https://h/", "^^^^^ https:// is a web address and no socket", "write tcp://"),
    ("upd://h:1", "^^^ \"upd\" is no scheme", "did you mean udp?"),
    ("udp:h:1", "^^^^ behind the scheme, // is missing", "write udp://h:1"),
    ("tcp://127.0.0.1", "               ^ a port is missing at its end", "write tcp://HOST:PORT"),
    ("udp://127.0.0.1:", "                ^ a port is missing at its end", "write udp://HOST:PORT"),
    ("tcp://127.0.0.1:99999", "                ^^^^^ 99999 is no port (0 to 65535)", "write"),
    ("h:+1", "  ^^ \"+1\" is no port (0 to 65535), nor a service's name", "write"),
    ("::1:80", "^^^^ more than one colon", "in brackets"),
    ("[::1:80", "       ^ a ] is missing", "in brackets"),
    ("[::1]80", "     ^^ a port is missing at its end", "write"),
    ("[h]:80", " ^ what is in brackets is no IPv6 address", "write"),
    ("[fe80::1%]:80", "         ^ no interface has this name", "ip link"),
    ("[::1%lo]:80", "     ^^ this address has no zone", "leave it out"),
    (":80", "^ the host is empty", "write localhost:80 for this machine alone"),
    ("a b:80", " ^ no host name has this character", "write"),
    ("bücher.example:80", " ^ no host name has this character", "xn--"),
    ("unix:", "     ^ the name is empty", "write unix:///PATH"),
    ("unix:@", "      ^ the name is empty", "unix:@NAME"),
    ("unix:///a\nb", "         ^^ this is a control character", "write it as %0A"),
    ("unix:/a%zz", "       ^ this % encodes nothing", "%25"),
    ("unix:/a%00b", "     ^^^^^^ no path has a zero byte", "write"),
    ("unix:/日本%", "          ^ this % encodes nothing", "columns, not letters"),
    ("h:1?nodely", "    ^^^^^^ \"nodely\" is no option", "did you mean nodelay?"),
    ("h:1?zzz", "    ^^^ \"zzz\" is no option", "tcp sockets have nodelay, keepalive,"),
    ("h:1?", "    ^ an option is missing here", "write ?NAME=VALUE"),
    ("h:1?nodelay&&ttl=1", "            ^ an option is missing here", "write ?NAME=VALUE"),
    ("h:1?ttl=1&ttl=2", "          ^^^ this option is given twice", "leave"),
    (
        "h:1?nodelay=maybe",
        "            ^^^^^ \"maybe\" is neither on nor off",
        "write nodelay alone",
    ),
    ("h:1?rcvbuf", "    ^^^^^^ a value is missing", "write rcvbuf=SIZE"),
    ("h:1?rcvbuf=", "           ^ a value is missing", "write rcvbuf=SIZE"),
    ("h:1?rcvbuf=64q", "           ^^^ \"q\" is no unit of size (k, M, G)", "write"),
    ("h:1?rcvbuf=9G", "           ^^ 9G is more than a socket can have (1G)", "write"),
    ("h:1?ttl=0", "        ^ 0 is not in 1 to 255", "write ttl=1..255"),
    ("h:1?ttl=-1", "        ^^ \"-1\" is no number", "write"),
    ("h:1?linger=1500ms", "           ^^^^^^ 1500ms is not a whole number of seconds", "write"),
    ("h:1?keepalive=60,5", "              ^^^^ one or three values are needed", "[=IDLE"),
    (
        "h:1?connect-timeout=soon",
        "                    ^^^^ \"soon\" is no time (500ms, 15s, 2m)",
        "",
    ),
    ("h:1?bind=elsewhere", "         ^^^^^^^^^ \"elsewhere\" is no address of this machine", ""),
    ("h:1?mode=0600", "    ^^^^ mode has no meaning for tcp sockets", "it is for unix,"),
    ("unix:/x?mode=0999", "             ^^^^ \"0999\" are no permissions", "write mode=OCTAL"),
    ("unix:/x?owner=:", "              ^ \":\" is no user and group", "write owner="),
    ("unix:/x?rcvbuf=1k", "        ^^^^^^ rcvbuf has no meaning for unix sockets", "for tcp, udp"),
    ("udp://h:1?join=10.0.0.1", "               ^^^^^^^^ 10.0.0.1 is no multicast group", "join="),
];

#[test]
fn an_error_points_at_the_place_and_names_the_way_out() {
    for (text, marks, way_out) in WRONG {
        let error = text.parse::<Endpoint>().expect_err(text);
        let shown = error.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[2].starts_with(marks), "{marks}\n{shown}");
        if !way_out.contains("columns") {
            assert!(lines[0].contains(way_out), "{way_out}\n{shown}");
        }
        assert!(error.line().contains(error.cause()) && !error.line().contains('\n'));
    }
}

#[test]
fn an_option_is_refused_for_every_kind_it_has_no_meaning_for() {
    for help in option_help() {
        for kind in EndpointKind::ALL {
            let place = if kind.is_ip() { "//127.0.0.1:1" } else { "@x" };
            if kind == EndpointKind::Standard {
                continue;
            }
            let text = format!("{kind}:{place}?{}={}", help.name, "?");
            let error = text.parse::<Endpoint>().err().map(|error| error.cause().to_owned());
            let refused = error.is_some_and(|cause| cause.contains("has no meaning for"));
            assert_eq!(refused, !help.kinds.contains(&kind), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_takes_it_shows_again(
        text in "(unix:|unix-dgram:@|tcp://|udp://|h:1\\?|unix:/x\\?mode=)?\\PC*",
    ) {
        match text.parse::<Endpoint>() {
            Ok(endpoint) => {
                let shown = endpoint.to_string();
                prop_assert_eq!(shown.parse::<Endpoint>(), Ok(endpoint));
            }
            Err(error) => {
                prop_assert!(text.get(error.span()).is_some(), "{:?}", error.span());
                prop_assert_eq!(error.to_string().lines().count(), 3);
            }
        }
    }

    #[test]
    fn any_name_of_a_unix_socket_can_be_written(
        bytes in proptest::collection::vec(any::<u8>(), 1..=107),
        is_abstract: bool,
    ) {
        let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let text = format!("unix:{}{encoded}", if is_abstract { "@" } else { "//" });
        match text.parse::<Endpoint>() {
            Ok(endpoint) => {
                let shown = endpoint.to_string();
                prop_assert!(!shown.chars().any(char::is_control), "{}", shown);
                prop_assert_eq!(shown.parse::<Endpoint>(), Ok(endpoint));
            }
            Err(_) => prop_assert!(!is_abstract && bytes.contains(&0)),
        }
    }

    #[test]
    fn any_options_are_read_as_they_are_shown(
        rcvbuf in 1u32..=1 << 30,
        switch: bool,
        keepalive in proptest::option::of((1u64..=32_767, 1u64..=32_767, 1u8..=127)),
        millis in 1u64..=u64::from(u32::MAX / 4),
        mark: u32,
        byte: u8,
    ) {
        let mut endpoint: Endpoint = "h:1".parse().expect("an endpoint");
        let (receive_buffer, tos) = (Some(rcvbuf), Some(byte));
        *endpoint.options_mut() = SocketOptions {
            receive_buffer,
            nodelay: Some(switch),
            keepalive: Some(keepalive.map_or(Keepalive::Off, |(idle, interval, count)| {
                let (idle, interval) = (Duration::from_secs(idle), Duration::from_secs(interval));
                Keepalive::On { idle: Some(idle), then: Some((interval, count)) }
            })),
            connect_timeout: Some(Duration::from_millis(millis)),
            user_timeout: Some(Duration::from_millis(millis)),
            mark: Some(mark),
            tos,
            ..SocketOptions::default()
        };
        prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
    }
}
