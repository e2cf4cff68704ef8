//! `serve --inspect`: what arrived, as text, JSON and page, and what may be asked for by path.

use std::process::Command;

use serde_json::Value;

use crate::kit::client::Client;
use crate::kit::need;
use crate::kit::server::{Server, run, sockeye};

on_every_driver!(
    curl_sees_its_form_as_text,
    curl_sees_its_files_as_json,
    a_browser_gets_a_page,
    chunks_and_trailers_are_told_as_they_came,
    every_method_is_answered_with_itself,
    answers_come_as_they_are_asked_for,
    ranges_of_made_bytes_are_parts_of_the_whole,
    broken_answers_break_off,
    interim_answers_come_first,
    what_is_no_request_is_shown_where_it_goes_wrong,
);

fn inspecting(driver: &str) -> Server {
    let server = Server::of(sockeye().args(["serve", "--inspect", "-p0", "--driver", driver]));
    assert!(server.ready.starts_with("inspecting requests on http://"), "{}", server.ready);
    server
}

/// Runs curl, with nothing in the request that differs from version to version.
fn curl(arguments: &[&str]) -> (Option<i32>, String, String) {
    run(Command::new("curl").args(["-sS", "-A", "curl"]).args(arguments))
}

fn printed(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = curl(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}

fn curl_sees_its_form_as_text(driver: &str) {
    if !need("curl_sees_its_form_as_text", &["curl"]) {
        return;
    }
    let server = inspecting(driver);
    let cookies = "Cookie: theme=dark; id=7";
    let form = "name=J%C3%BCrgen&about=%3Cb%3E+%1B%5B31m";
    let url = server.url("/form?draft=1");
    let text = printed(&["-H", cookies, "-d", form, &url]);
    assert_eq!(places_aside(&text), places_aside(include_str!("golden/inspect.txt")), "{text}");
    server.stop();
}

/// Without numbers: offsets depend on how long the port is.
fn places_aside(text: &str) -> String {
    let mut out = String::new();
    let mut last = ' ';
    for character in text.chars() {
        let is_place = character.is_ascii_digit();
        if !(is_place && last == '#') {
            out.push(if is_place { '#' } else { character });
        }
        last = if is_place { '#' } else { character };
    }
    out
}

fn curl_sees_its_files_as_json(driver: &str) {
    if !need("curl_sees_its_files_as_json", &["curl"]) {
        return;
    }
    let server = inspecting(driver);
    let field = "note=\u{202e}right to left";
    let file = "file=@-;filename=a\"b.bin";
    let url = server.url("/files");
    let arguments = ["-H", "Accept: application/json", "-F", field, &url];
    let text = printed(&arguments);
    assert!(!text.contains('\u{202e}'));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["request_line"]["method"], "POST");
    assert_eq!(json["request_line"]["form"], "origin");
    assert_eq!(json["parts"][0]["name"], "note");
    assert_eq!(json["parts"][0]["content"], "\u{202e}right to left");
    assert_eq!(json["headers"][0]["name"], "Host");
    assert_eq!(json["headers"][0]["section"], "RFC 9110 §7.2");
    assert_eq!(json["connection"]["request"], 1);

    let json: Value =
        serde_json::from_str(&printed(&["-F", file, &(url + "?format=json")])).unwrap();
    assert_eq!(json["parts"][0]["filename"], "a\"b.bin");
    assert_eq!(json["query"][0]["value"], "json");

    let sent = r#"{"b":[1.0,{}],"a":null}"#;
    let kind = "Content-Type: application/json";
    let url = server.url("/");
    let json = printed(&["-H", kind, "-H", "Accept: application/json", "-d", sent, &url]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["json"], serde_json::from_str::<Value>(sent).unwrap());
    assert_eq!(json["body"]["content"], sent);
    let digest = "8d4b3f08";
    assert_eq!(json["body"]["sha256"].as_str().unwrap().len(), digest.len() * 8);
    let text = printed(&["-H", kind, "-d", sent, &url]);
    assert!(text.contains("\n  {\n    \"b\": [\n      1.0,\n      {}\n    ],\n"), "{text}");
    server.stop();
}

fn a_browser_gets_a_page(driver: &str) {
    let server = inspecting(driver);
    let mut client = Client::connect(server.address);
    let accept = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let hostile = "X: <script>alert(1)</script>\u{9b}31m\r\n";
    let answer = client.get_with("/page?a=&lt;b", &format!("{accept}{hostile}"));
    assert_eq!(answer.status, 200);
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"));
    let page = String::from_utf8(answer.body).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains('\u{9b}'));
    let again = client.get_with("/", "");
    let text = String::from_utf8(again.body).unwrap();
    assert!(text.contains("  request   2 on this connection"), "{text}");
    assert!(text.contains("/status/404"), "the front page says what may be asked for: {text}");
    server.stop();
}

fn chunks_and_trailers_are_told_as_they_came(driver: &str) {
    let server = inspecting(driver);
    let mut client = Client::connect(server.address);
    client.send(
        "POST /x?format=json HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nDigest: x\r\n\r\n",
    );
    let answer = client.answer();
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    let body = &json["body"];
    assert_eq!(body["framing"], "chunked");
    assert_eq!(body["content"], "hello world");
    assert_eq!(body["length"], 11);
    let sizes: Vec<_> =
        body["chunks"].as_array().unwrap().iter().map(|chunk| chunk["size"].clone()).collect();
    assert_eq!(sizes, [5, 6, 0]);
    assert_eq!(body["chunks"][0]["extensions"], ";a=\"b\"");
    assert_eq!(body["trailers"][0]["name"], "Digest");
    let (start, end) = (&body["bytes"][0], &body["bytes"][1]);
    assert_eq!(start, &json["blank_line"]["bytes"][1]);
    assert_eq!(end, &json["connection"]["bytes"]);
    // It is the next request that tells where this one ended.
    assert_eq!(client.get("/").status, 200);
    server.stop();
}

fn every_method_is_answered_with_itself(driver: &str) {
    let server = inspecting(driver);
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        let mut client = Client::connect(server.address);
        client.send(format!("{method} /a/../b%2f HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = client.answer();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{method}");
        assert!(text.contains(&format!("  method    {method}  ")), "{text}");
        assert!(text.contains("  target    /a/../b%2f  "), "{text}");
    }
    let mut client = Client::connect(server.address);
    client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(String::from_utf8(client.answer().body).unwrap().contains("asterisk form"));
    client.send("GET http://other/x HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(String::from_utf8(client.answer().body).unwrap().contains("absolute form"));
    client.send("CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n");
    assert_eq!(client.answer().status, 405);
    server.stop();
}

fn answers_come_as_they_are_asked_for(driver: &str) {
    if !need("answers_come_as_they_are_asked_for", &["curl"]) {
        return;
    }
    let server = inspecting(driver);
    let of =
        |path: &str, format: &str| printed(&["-o", "/dev/null", "-w", format, &server.url(path)]);
    for status in [200, 204, 206, 302, 304, 404, 418, 500, 599] {
        assert_eq!(of(&format!("/status/{status}"), "%{http_code}"), status.to_string());
    }
    assert_eq!(of("/status/401", "%header{www-authenticate}"), "Basic realm=\"sockeye\"");
    assert_eq!(of("/status/503?retry-after=7", "%header{retry-after}"), "7");
    assert_eq!(of("/status/302", "%header{location}"), "/redirected");
    for wrong in
        ["/status/99", "/status/600", "/status/101", "/delay/61", "/bytes/2g", "/slow/1m?rate=1"]
    {
        assert_eq!(of(wrong, "%{http_code}"), "400", "{wrong}");
    }
    assert_eq!(of("/delay/10ms", "%{http_code}"), "200");
    assert_eq!(of("/bytes/300k", "%{size_download}"), "307200");
    assert_eq!(of("/slow/100?rate=10k", "%{size_download}"), "100");
    assert_eq!(
        of("/drip?numbytes=7&duration=20ms&code=500", "%{http_code} %{size_download}"),
        "500 7"
    );
    assert_eq!(of("/headers/100", "%header{x-header-100}"), "100");
    assert_eq!(of("/response-headers?X-A=b%20c", "%header{x-a}"), "b c");
    assert_eq!(of("/response-headers?Content-Length=1", "%{http_code}"), "400");
    let url = server.url("/redirect/3?status=307");
    let followed = ["-L", "-d", "kept=1", "-w", "%{num_redirects}", &url];
    let text = printed(&followed);
    assert!(text.ends_with('3') && text.contains("  kept = 1\n"), "{text}");
    let url = server.url("/basic-auth/me/open%20sesame");
    assert_eq!(printed(&["-o", "/dev/null", "-w", "%{http_code}", &url]), "401");
    let right = ["-u", "me:open sesame", "-o", "/dev/null", "-w", "%{http_code}", &url];
    assert_eq!(printed(&right), "200");
    // Its content is any bytes.
    let whole = Command::new("curl")
        .args(["-sS", "-i", "--raw", &server.url("/chunked/20?chunk=8")])
        .output()
        .unwrap();
    let whole = String::from_utf8_lossy(&whole.stdout);
    let sizes: Vec<_> = whole.split("\r\n").filter(|line| ["8", "4", "0"].contains(line)).collect();
    assert!(whole.contains("\r\nContent-Digest: sha-256=:"), "{whole}");
    assert_eq!(sizes.last(), Some(&"0"));
    server.stop();
}

fn ranges_of_made_bytes_are_parts_of_the_whole(driver: &str) {
    let server = inspecting(driver);
    let mut client = Client::connect(server.address);
    let whole = client.get("/bytes/200000?seed=5").body;
    assert_eq!(whole.len(), 200_000);
    let part = client.get_with("/bytes/200000?seed=5", "Range: bytes=70001-140000\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &whole[70_001..=140_000]));
    let parts = client.get_with("/bytes/200000?seed=5", "Range: bytes=1-3,100-110\r\n");
    assert_eq!(parts.status, 206);
    let holds = |part: &[u8]| parts.body.windows(part.len()).any(|window| window == part);
    assert!(holds(&whole[1..=3]) && holds(&whole[100..=110]));
    let none = client.get_with("/bytes/10", "Range: bytes=10-\r\n");
    assert_eq!(none.status, 416);
    server.stop();
}

fn broken_answers_break_off(driver: &str) {
    if !need("broken_answers_break_off", &["curl"]) {
        return;
    }
    let server = inspecting(driver);
    // 18: a part is missing; 56: the connection was reset.
    for (path, expected) in [("/close", 18), ("/close?framing=chunked", 18), ("/reset", 56)] {
        let (code, _, stderr) = curl(&["-o", "/dev/null", &server.url(path)]);
        assert_eq!(code, Some(expected), "{path}: {stderr}");
    }
    server.stop();
}

fn interim_answers_come_first(driver: &str) {
    if !need("interim_answers_come_first", &["curl"]) {
        return;
    }
    let server = inspecting(driver);
    let text = printed(&["-i", &server.url("/status/103")]);
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nLink: "), "{text}");
    assert!(text.contains("\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
    let old = printed(&["-i", "--http1.0", &server.url("/status/103")]);
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n"), "{old}");
    // Who waits for leave to send its content hears at once that it is not wanted.
    let mut client = Client::connect(server.address);
    client.send(
        "PUT /status/417 HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.answer().status, 417);
    server.stop();
}

fn what_is_no_request_is_shown_where_it_goes_wrong(driver: &str) {
    let server = inspecting(driver);
    let mut client = Client::connect(server.address);
    client.send("GET / HTTP/1.1\r\nHost : test\r\n\r\n");
    let answer = client.answer();
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 400);
    assert!(text.contains("(RFC 9112 §5.1)\n"), "{text}");
    assert!(text.contains("This is clear at byte 20 (0x14), which is 20:\n"), "{text}");
    assert!(text.contains("|Host : test....|"), "{text}");

    let mut client = Client::connect(server.address);
    client.send(
        "PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\x1bx",
    );
    let answer = client.answer();
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 400);
    assert!(text.contains("This is clear at byte 10 (0xa), which is 1b:\n"), "{text}");
    assert!(!text.contains('\x1b'));
    server.stop();
}
