//! Dumps, and digits read back.

use proptest::prelude::*;
use sockeye_wire::hex::{Dump, parse};

use crate::checks;

#[test]
fn digits_may_stand_together_or_apart() {
    for text in ["deadbeef", "de ad be ef", "0xdeadbeef", "0xDE, 0xAD,\n0xBE\t0XEF", " dead beef\n"]
    {
        assert_eq!(parse(text).expect(text), b"\xde\xad\xbe\xef");
    }
    assert_eq!(parse("").expect("nothing"), b"");
    assert_eq!(parse("00 0x00").expect("zeros"), b"\0\0");
}

#[test]
fn what_is_no_pair_is_an_error_at_its_place() {
    for (text, character, cause) in [
        ("de a", 4, "half a byte"),
        ("de a ad", 4, "half a byte"),
        ("dea", 3, "half a byte"),
        ("0x", 1, "no digits behind"),
        ("de 0x ad", 4, "no digits behind"),
        ("0x0xde", 4, "no hexadecimal digit"),
        ("de0xad", 4, "no hexadecimal digit"),
        ("文de", 1, "no hexadecimal digit"),
        ("de 文", 4, "no hexadecimal digit"),
        ("d\u{1b}", 2, "no hexadecimal digit"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.character, character, "{text}: {error}");
        assert!(error.to_string().contains(cause), "{text}: {error}");
    }
}

#[test]
fn a_row_that_was_finished_early_is_followed_by_a_new_one() {
    let mut dump = Dump::new(u64::from(u32::MAX) - 1);
    let mut out = String::new();
    dump.push(b"ab\x7f", &mut out);
    assert_eq!(out, "");
    dump.finish(&mut out);
    dump.finish(&mut out);
    dump.push(b"\xe6", &mut out);
    dump.finish(&mut out);
    let expected = [
        "fffffffe  61 62 7f                                          |ab.|",
        "100000001  e6                                                |.|",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn a_dump_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        checks::hex(&bytes);
    }

    #[test]
    fn any_text_is_bytes_or_an_error_within_it(text in "[0-9a-fxX, \u{1b}文]{0,12}") {
        checks::hex(text.as_bytes());
    }
}
