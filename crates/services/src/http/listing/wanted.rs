//! What is wanted of a folder: the form, the order and the filter, from the query and the Accept lines.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::archive::Format;

/// A folder, as somebody wants to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    pub(super) form: Form,
    pub(super) sort: Sort,
    pub(super) descending: bool,
    /// Shown are names that hold this, in any case; all if it is empty.
    pub(super) filter: String,
    /// Sizes in bytes instead of KiB, MiB, GiB.
    pub(super) exact: bool,
    /// The whole of it, packed, instead of a listing.
    pub(in super::super) archive: Option<Format>,
}

/// The form of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Page,
    Json,
    Text,
}

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    /// By name as people count, whatever the case: `a2` before `A10`.
    Natural,
    /// By name, byte by byte.
    Name,
    Size,
    Date,
}

/// A value of the query that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value}: it may be {allowed}")]
pub(in super::super) struct Meaningless {
    key: &'static str,
    value: String,
    allowed: &'static str,
}

impl Wanted {
    /// Reads a query. Keys that are not known here are left alone: the page's own scripts, or proxies,
    /// may have a use for them.
    pub(in super::super) fn read<'v>(
        query: Option<&str>,
        accept: impl Iterator<Item = &'v [u8]>,
    ) -> Result<Wanted, Meaningless> {
        let mut wanted = Wanted {
            form: accepted(accept),
            sort: Sort::Natural,
            descending: false,
            filter: String::new(),
            exact: false,
            archive: None,
        };
        for field in query.unwrap_or_default().split('&') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let value = decoded(value);
            match key {
                "archive" => wanted.archive = Some(one_of("archive", &value, ARCHIVES)?),
                "filter" => wanted.filter = value.into_owned(),
                "format" => wanted.form = one_of("format", &value, FORMS)?,
                "order" => wanted.descending = one_of("order", &value, ORDERS)?,
                "sizes" => wanted.exact = one_of("sizes", &value, SIZES)?,
                "sort" => wanted.sort = one_of("sort", &value, SORTS)?,
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// The query that asks for this, with its question mark; what is so anyway is left out.
    pub(super) fn query(&self) -> String {
        let mut query = String::from("?");
        let filter = utf8_percent_encode(&self.filter, NON_ALPHANUMERIC);
        if !self.filter.is_empty() {
            let _ = write!(query, "filter={filter}");
        }
        for (key, value) in self.fields() {
            let and = if query.len() > 1 { "&" } else { "" };
            let _ = write!(query, "{and}{key}={value}");
        }
        query
    }

    /// The fields of the query but for the filter.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let form = (self.form != Form::Page).then(|| ("format", name_of(self.form, FORMS)));
        let sort = (self.sort != Sort::Natural).then(|| ("sort", name_of(self.sort, SORTS)));
        let order = self.descending.then_some(("order", "desc"));
        let sizes = self.exact.then_some(("sizes", "exact"));
        [form, sort, order, sizes].into_iter().flatten()
    }
}

/// Whether a query may ask for the whole folder.
pub(in super::super) fn wants_archive(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|field| field.starts_with("archive=")))
}

/// The values of a key, with what they are called together.
type Values<T> = (&'static [(&'static str, T)], &'static str);

pub(super) const ARCHIVES: Values<Format> = (
    &[("zip", Format::Zip), ("tar.gz", Format::TarGz), ("tar.zst", Format::TarZst)],
    "zip, tar.gz or tar.zst",
);
const FORMS: Values<Form> =
    (&[("html", Form::Page), ("json", Form::Json), ("text", Form::Text)], "html, json or text");
const ORDERS: Values<bool> = (&[("asc", false), ("desc", true)], "asc or desc");
const SIZES: Values<bool> = (&[("human", false), ("exact", true)], "human or exact");
const SORTS: Values<Sort> = (
    &[("natural", Sort::Natural), ("name", Sort::Name), ("size", Sort::Size), ("date", Sort::Date)],
    "natural, name, size or date",
);

fn one_of<T: Copy>(
    key: &'static str,
    value: &str,
    (values, allowed): Values<T>,
) -> Result<T, Meaningless> {
    let found = values.iter().find(|(name, _)| *name == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| Meaningless {
        key,
        value: value.chars().take(40).collect(),
        allowed,
    })
}

fn name_of<T: Copy + PartialEq>(value: T, (values, _): Values<T>) -> &'static str {
    values.iter().find(|(_, meaning)| *meaning == value).map_or("", |(name, _)| name)
}

/// A value of a form (application/x-www-form-urlencoded).
fn decoded(value: &str) -> Cow<'_, str> {
    let spaced =
        if value.contains('+') { value.replace('+', " ").into() } else { Cow::from(value) };
    match percent_decode_str(&spaced).decode_utf8_lossy() {
        Cow::Borrowed(same) if same == value => Cow::Borrowed(value),
        other => Cow::Owned(other.into_owned()),
    }
}

/// The form that is liked best (RFC 9110 §12.5.1); a page for who takes anything, and for who takes
/// none of the three: that is better than no answer.
fn accepted<'v>(lines: impl Iterator<Item = &'v [u8]>) -> Form {
    const OFFERED: [(Form, &str, &str); 3] = [
        (Form::Page, "text", "html"),
        (Form::Json, "application", "json"),
        (Form::Text, "text", "plain"),
    ];
    // For each: how exactly it was named, and the weight, in thousandths.
    let mut said = [(0_u8, 0_u16); 3];
    for line in lines {
        for member in String::from_utf8_lossy(line).split(',') {
            let mut parts = member.split(';').map(str::trim);
            let Some((kind, subtype)) = parts.next().and_then(|range| range.split_once('/')) else {
                continue;
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.map_or(1000, thousandths);
            for ((_, our_kind, our_subtype), said) in OFFERED.iter().zip(&mut said) {
                let exactness = match (kind, subtype) {
                    ("*", "*") => 1,
                    (kind, "*") if kind.eq_ignore_ascii_case(our_kind) => 2,
                    (kind, subtype)
                        if kind.eq_ignore_ascii_case(our_kind)
                            && subtype.eq_ignore_ascii_case(our_subtype) =>
                    {
                        3
                    }
                    _ => continue,
                };
                if exactness > said.0 {
                    *said = (exactness, weight);
                }
            }
        }
    }
    // The first of the best, so that a page wins where nothing else is liked better.
    let best = said.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
    let found = OFFERED.iter().zip(said).find(|(_, said)| said.1 == best);
    found.map_or(Form::Page, |((form, ..), _)| *form)
}

/// A weight of RFC 9110 §12.4.2; 0 for what is none.
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    let fraction: u16 = format!("{rest:0<3}").parse().unwrap_or(0);
    if whole == "1" { 1000 } else { fraction }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, accept: &str) -> Result<Wanted, Meaningless> {
        Wanted::read(Some(query), [accept.as_bytes()].into_iter())
    }

    #[test]
    fn the_accept_lines_choose_the_form_and_a_page_is_for_everybody_else() {
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, form) in [
            ("", Form::Page),
            ("*/*", Form::Page),
            (chromium, Form::Page),
            ("application/json", Form::Json),
            ("Application/JSON", Form::Json),
            ("application/*", Form::Json),
            ("text/plain", Form::Text),
            ("text/*", Form::Page),
            ("text/html;q=0.5, application/json", Form::Json),
            ("text/html;q=0.5, */*;q=0.4", Form::Page),
            ("text/html;q=0, */*", Form::Json),
            ("text/html;q=0, text/plain;q=0.001", Form::Text),
            ("application/json;q=0", Form::Page),
            ("application/json;q=7", Form::Page),
            ("image/png", Form::Page),
            ("nonsense", Form::Page),
        ] {
            assert_eq!(read("", accept).expect("no query").form, form, "{accept}");
        }
    }

    #[test]
    fn a_query_overrides_the_accept_lines_and_is_decoded() {
        let wanted = read("format=text&sort=size&order=desc&filter=a+b%C3%BC&v=1&sizes=exact", "")
            .expect("all of it means something");
        let expected = Wanted {
            form: Form::Text,
            sort: Sort::Size,
            descending: true,
            filter: "a bü".to_owned(),
            exact: true,
            archive: None,
        };
        assert_eq!(wanted, expected);
        assert_eq!(read("archive=tar.zst", "").expect("known").archive, Some(Format::TarZst));
    }

    #[test]
    fn what_means_nothing_is_named_with_what_would() {
        let error = read("sort=colour", "").expect_err("no such order").to_string();
        assert_eq!(error, "sort=colour: it may be natural, name, size or date");
        assert!(read("archive=rar", "").is_err() && read("order=", "").is_err());
        assert!(read("sort", "").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_query_that_is_written_is_read_back(filter: String, sort in 0..4_usize, descending: bool, exact: bool) {
            let sort = SORTS.0[sort].1;
            let wanted = Wanted { form: Form::Page, sort, descending, filter, exact, archive: None };
            let query = wanted.query();
            proptest::prop_assert_eq!(read(&query[1..], "").expect("it was written here"), wanted);
        }

        #[test]
        fn any_query_and_any_accept_line_is_read(query: String, accept: Vec<u8>) {
            let _ = Wanted::read(Some(&query), [&accept[..]].into_iter());
        }
    }
}
