//! Forms as browsers and curl send them, and what is none.

use proptest::prelude::*;
use sockeye_http::multipart::{
    Event, MultipartDecoder, MultipartError, MultipartLimits, Part, boundary, is_form,
};

/// All parts of a form with the boundary `--b`, which comes as a whole.
fn read(form: impl AsRef<[u8]>) -> Result<Vec<(Part, Vec<u8>)>, MultipartError> {
    let mut input = form.as_ref();
    let mut decoder = MultipartDecoder::new(b"--b".to_vec(), MultipartLimits::default());
    let mut parts: Vec<(Part, Vec<u8>)> = Vec::new();
    loop {
        let step = decoder.decode(input)?;
        input = &input[step.consumed..];
        match step.event {
            Some(Event::Part(part)) => parts.push((part, Vec::new())),
            Some(Event::Content(content)) => {
                parts.last_mut().expect("a part began").1.extend_from_slice(content);
            }
            Some(Event::End) => {}
            None => return decoder.finish().map(|()| parts),
        }
    }
}

/// What the one part of this head says of itself.
fn disposed(lines: &str) -> Result<(String, Option<String>), MultipartError> {
    let parts = read(format!("----b\r\n{lines}\r\n\r\nx\r\n----b--\r\n"))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (part, content) = &parts[0];
    assert_eq!((parts.len(), &content[..]), (1, &b"x"[..]));
    Ok((text(&part.name), part.filename.as_deref().map(text)))
}

#[test]
fn a_form_of_a_browser_is_read() {
    let form = "----b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n\
        ----b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\u{e4} %22.txt\"\r\n\
        Content-Type: text/plain\r\n\r\none\r\n--two\r\n\r\n----b\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\
        Content-Type: application/octet-stream\r\n\r\n\r\n----b--\r\n";
    let part = |name: &str, filename: Option<&str>| Part {
        name: name.into(),
        filename: filename.map(|name| name.as_bytes().to_vec()),
    };
    let expected = vec![
        (part("note", None), b"hello".to_vec()),
        (part("file", Some("\u{e4} \".txt")), b"one\r\n--two\r\n".to_vec()),
        (part("file", Some("")), Vec::new()),
    ];
    assert_eq!(read(form), Ok(expected));
}

#[test]
fn names_are_read_as_clients_quote_them() {
    for (value, name, filename) in [
        ("form-data; name=f", "f", None),
        ("FORM-DATA;NAME=\"f\";FileName=a.txt", "f", Some("a.txt")),
        ("form-data; name=\"a;b\"; filename=\"a\\\"b\"", "a;b", Some("a\"b")),
        ("form-data; name=f; filename=\"C:\\dir\\a.txt\"", "f", Some("C:\\dir\\a.txt")),
        ("form-data; name=f; filename=\"a%22b%0D%0A%20\"", "f", Some("a\"b\r\n%20")),
        ("form-data; name=f; filename=\"../../etc/passwd\"", "f", Some("../../etc/passwd")),
        ("form-data; name=f; filename=\"a\"; filename*=UTF-8''b", "f", Some("a")),
        ("form-data; name=f;", "f", None),
    ] {
        let found = disposed(&format!("Content-Disposition: {value}"));
        assert_eq!(found, Ok((name.to_owned(), filename.map(str::to_owned))), "{value}");
    }
}

#[test]
fn parts_that_say_nothing_clear_of_themselves_are_refused() {
    use MultipartError::{Encoded, InvalidDisposition, InvalidHead};
    let fine = "Content-Disposition: form-data; name=f";
    for (lines, error) in [
        ("Content-Type: text/plain".to_owned(), InvalidDisposition),
        ("Content-Disposition: form-data".to_owned(), InvalidDisposition),
        ("Content-Disposition: attachment; name=f".to_owned(), InvalidDisposition),
        ("Content-Disposition: form-data; name=f; name=g".to_owned(), InvalidDisposition),
        ("Content-Disposition: form-data; name=\"f".to_owned(), InvalidDisposition),
        ("Content-Disposition: form-data; name=f g".to_owned(), InvalidDisposition),
        ("Content-Disposition: form-data; name=".to_owned(), InvalidDisposition),
        (format!("{fine}\r\n{fine}"), InvalidDisposition),
        (format!("{fine}\r\nContent-Transfer-Encoding: base64"), Encoded),
        (format!("{fine}\nA: b"), InvalidHead),
        (format!("{fine}\r\n folded"), InvalidHead),
        ("no colon".to_owned(), InvalidHead),
    ] {
        assert_eq!(disposed(&lines), Err(error), "{lines}");
    }
    let plain = disposed(&format!("{fine}\r\nContent-Transfer-Encoding: Binary"));
    assert_eq!(plain, Ok(("f".to_owned(), None)));
}

#[test]
fn forms_whose_borders_are_not_clear_are_refused() {
    use MultipartError::{
        HeadTooLong, InvalidDelimiter, InvalidDisposition, NoBoundary, TooManyParts, Truncated,
    };
    let part = "----b\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n";
    for (form, error) in [
        (String::new(), Truncated),
        ("----".to_owned(), Truncated),
        ("preamble\r\n----b--".to_owned(), NoBoundary),
        ("\n----b--".to_owned(), NoBoundary),
        ("----bb\r\n".to_owned(), InvalidDelimiter),
        ("----b\nA".to_owned(), InvalidDelimiter),
        ("----b -".to_owned(), InvalidDelimiter),
        (format!("----b{}\r\n", " ".repeat(99)), InvalidDelimiter),
        (part.to_owned(), Truncated),
        (format!("{part}----b"), Truncated),
        (format!("{part}----bc"), InvalidDelimiter),
        ("----b\r\n\r\nx\r\n----b--".to_owned(), InvalidDisposition),
        (format!("----b\r\nA: {}", "b".repeat(9000)), HeadTooLong),
        (part.repeat(1001), TooManyParts),
    ] {
        assert_eq!(read(&form), Err(error), "{:.60}", form);
    }
    assert_eq!(read("----b--").map(|parts| parts.len()), Ok(0));
    assert_eq!(read(format!("\r\n{part}----b-- and more")).map(|parts| parts.len()), Ok(1));
}

#[test]
fn boundaries_are_those_of_rfc_2046() {
    for (value, expected) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        ("Multipart/Form-Data;charset=utf-8;BOUNDARY=\"a=b\"", Some("a=b")),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"\"", None),
        ("multipart/form-data; boundary=\"a b\"", None),
        ("multipart/form-data; boundary=a\"b", None),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/mixed; boundary=a", None),
    ] {
        let found = boundary(value.as_bytes()).ok();
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        assert_eq!(is_form(value.as_bytes()), !value.contains("mixed"));
    }
    for (len, valid) in [(70, true), (71, false)] {
        let value = format!("multipart/form-data; boundary={}", "b".repeat(len));
        assert_eq!(boundary(value.as_bytes()).is_ok(), valid, "{len}");
    }
}

proptest! {
    #[test]
    fn any_files_come_back_from_any_cuts(
        files in prop::collection::vec(prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b'), any::<u8>()], 0..200), 0..4),
        cut in 1..64_usize,
    ) {
        let delimiter = b"\r\n----b";
        prop_assume!(!files.iter().any(|file| [&b"\r\n"[..], file, &b"\r\n"[..]].concat()
            .windows(delimiter.len()).any(|window| window == delimiter)));
        let mut form = Vec::new();
        for file in &files {
            form.extend_from_slice(b"----b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n");
            form.extend_from_slice(file);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"----b--\r\n");
        let mut decoder = MultipartDecoder::new(b"--b".to_vec(), MultipartLimits::default());
        let (mut waiting, mut found) = (Vec::new(), Vec::new());
        for piece in form.chunks(cut) {
            waiting.extend_from_slice(piece);
            loop {
                let step = decoder.decode(&waiting).expect("it is a form");
                let more = step.event.is_some();
                match step.event {
                    Some(Event::Part(_)) => found.push(Vec::new()),
                    Some(Event::Content(content)) => {
                        let file: &mut Vec<u8> = found.last_mut().expect("a part began");
                        file.extend_from_slice(content);
                    }
                    Some(Event::End) | None => {}
                }
                waiting.drain(..step.consumed);
                if !more {
                    break;
                }
            }
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(found, files);
    }
}
