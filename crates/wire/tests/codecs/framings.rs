//! Framings as a user writes them.

use proptest::prelude::*;
use sockeye_wire::frame::{Delimiter, Framing, Length};

use crate::checks;

#[test]
fn every_form_is_written_as_it_is_read() {
    for text in checks::FRAMINGS.into_iter().chain([
        "raw",
        "gap=100ms",
        "gap=1m30s",
        "fixed=65536",
        "length=u64le",
        r"delimiter=\r\n\t\0\\\x1b=é文\xff",
    ]) {
        let framing: Framing = text.parse().expect(text);
        assert_eq!(framing.to_string(), text);
    }
    assert_eq!("fixed=64k".parse::<Framing>(), "fixed=65536".parse());
    assert_eq!("length=u16le".parse(), Ok(Framing::Length(Length::U16Le)));
    let border = Delimiter::new(&b"a=\n\x0f"[..]).expect("not empty");
    assert_eq!(r"delimiter=a=\n\x0F".parse(), Ok(Framing::Delimiter(border)));
}

#[test]
fn an_error_names_the_part_and_the_way_out() {
    for (text, part, way_out) in [
        ("", "there is no ``", "take raw, line"),
        ("Line", "`Line`", "line"),
        ("line=3", "`line` takes no value", "`line` alone"),
        ("delimiter", "which text", r"`delimiter=\0`"),
        ("delimiter=", "empty delimiter", r"`delimiter=\0`"),
        (r"delimiter=ab\q", "character 3", r"\xNN"),
        (r"delimiter=\x1", "character 1", r"\xNN"),
        (r"delimiter=a\", "character 2", r"\xNN"),
        (r"delimiter=文\x文", "character 2", r"\xNN"),
        ("length", "which form", "`length=u32`"),
        ("length=u24", "`u24`", "u8, u16, u32 or u64"),
        ("length=u8le", "`u8le`", "u8, u16"),
        ("fixed", "how many", "`fixed=512`"),
        ("fixed=0", "`0`", "`fixed=512`"),
        ("fixed=-1", "`-1`", "`fixed=512`"),
        ("fixed=+1", "`+1`", "`fixed=512`"),
        ("fixed=k", "`k`", "`fixed=64k`"),
        ("fixed=18446744073709551615m", "`18446744073709551615m`", "`fixed=512`"),
        ("gap", "how long", "`gap=100ms`"),
        ("gap=0s", "`0s`", "`gap=100ms`"),
        ("gap=100", "`100`", "with a unit"),
    ] {
        let error = text.parse::<Framing>().expect_err(text).to_string();
        assert!(error.starts_with(&format!("framing `{text}`: ")), "{error}");
        assert!(error.contains(part) && error.contains(way_out), "{error}");
    }
}

proptest! {
    #[test]
    fn any_delimiter_is_read_back_from_what_is_shown(
        bytes in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let framing = Framing::Delimiter(Delimiter::new(bytes).expect("not empty"));
        prop_assert_eq!(framing.to_string().parse(), Ok(framing));
    }

    #[test]
    fn any_text_is_a_framing_or_an_error_of_one_line(
        name in "(delimiter|length|fixed|gap|[a-z]{0,5})?=?", value in any::<String>(),
    ) {
        checks::framing(format!("{name}{value}").as_bytes());
    }
}
