//! How long a request head and what follows from it take: `cargo bench -p sockeye-http`.
//!
//! Prints the best of several rounds, in nanoseconds, since other programs only ever add to it.
#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::hint::black_box;
use std::time::Instant;

use sockeye_http::{
    HeaderStorage, ImfFixdate, Limits, Progress, RequestParser, ResponseHead, StatusCode,
    decode_path, header,
};

const LOAD_TOOL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\n\
    User-Agent: load/1.0\r\nAccept: */*\r\n\r\n";

const BROWSER: &[u8] = b"GET /notes/today.txt?from=list HTTP/1.1\r\nHost: localhost:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n";

fn main() {
    for (name, head) in [("load tool", LOAD_TOOL), ("browser", BROWSER)] {
        let label = format!("parse, {name}, {} bytes", head.len());
        measure(&label, || {
            let mut storage = HeaderStorage::new();
            let mut parser = RequestParser::new();
            match parser.parse(black_box(head), &Limits::default(), &mut storage) {
                Ok(Progress::Complete { request, consumed }) => {
                    black_box((request.keep_alive(), request.body(), consumed));
                }
                other => panic!("{other:?}"),
            }
        });
        measure(&format!("httparse alone, {name}"), || {
            let mut storage = [const { std::mem::MaybeUninit::uninit() }; 128];
            let mut request = httparse::Request::new(&mut []);
            black_box(request.parse_with_uninit_headers(black_box(head), &mut storage)).ok();
        });
        measure(&format!("byte by byte, {name}"), || {
            let mut parser = RequestParser::new();
            for end in 1..=head.len() {
                let mut storage = HeaderStorage::new();
                let progress =
                    parser.parse(black_box(&head[..end]), &Limits::default(), &mut storage);
                black_box(progress.is_ok());
            }
        });
    }
    measure("decode_path, plain", || {
        black_box(decode_path(black_box("/notes/today.txt"))).ok();
    });
    measure("decode_path, escaped", || {
        black_box(decode_path(black_box("/caf%C3%A9/b%20c.txt"))).ok();
    });
    measure("ImfFixdate::from_unix", || {
        black_box(ImfFixdate::from_unix(black_box(1_700_000_000)));
    });
    let date = ImfFixdate::from_unix(1_700_000_000);
    let mut out = Vec::with_capacity(1024);
    measure("response head of four lines", || {
        out.clear();
        let mut head = ResponseHead::new(&mut out, StatusCode::OK);
        head.date(&date).content_length(12345);
        let lines = head
            .header(&header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .and_then(|head| head.header(&header::ETAG, "\"1-2-3-4\""));
        black_box(lines.is_ok());
        head.finish();
    });
}

fn measure(name: &str, mut work: impl FnMut()) {
    const CALLS: u32 = 20_000;
    let best = (0..50)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                work();
            }
            start.elapsed() / CALLS
        })
        .min()
        .unwrap_or_default();
    println!("{name:40} {:>6} ns", best.as_nanos());
}
