//! One case against one server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::case::{Alternative, Case, End, Step, unescape};
use super::reader::{Connection, Nothing, Response};
use crate::kit::{PATIENCE, eventually};

/// What a server says of `/hello.txt`, for conditional requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) etag: Option<String>,
    pub(super) modified: Option<String>,
}

/// How a server does in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// It lacks what the case is about: it sends no entity tags, for instance.
    NotApplicable,
    Failed(String),
}

impl Known {
    pub(super) fn of(address: SocketAddr, patience: Duration) -> Known {
        let mut connection = Connection::open(address, patience);
        connection.send(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let response = connection.response(false).unwrap();
        Known { etag: response.get("etag"), modified: response.get("last-modified") }
    }

    /// The same, once the file lies so far back that its tag is strong.
    pub(super) fn settled(address: SocketAddr) -> Known {
        eventually("a strong tag", || {
            let known = Known::of(address, PATIENCE);
            known.etag.as_ref().is_some_and(|tag| !tag.starts_with("W/")).then_some(known)
        })
    }

    /// The text with what is known in its places; None if it is not known.
    fn fill(&self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        let strong = self.etag.clone().filter(|tag| !tag.starts_with("W/"));
        for (place, known) in
            [("%etag%", &self.etag), ("%strong%", &strong), ("%modified%", &self.modified)]
        {
            if text.contains(place) {
                text = text.replace(place, known.as_ref()?);
            }
        }
        Some(text)
    }
}

pub(super) fn run(case: &Case, address: SocketAddr, known: &Known, patience: Duration) -> Outcome {
    match attempt(case, address, known, patience) {
        Ok(outcome) => outcome,
        Err(why) => Outcome::Failed(why),
    }
}

fn attempt(
    case: &Case,
    address: SocketAddr,
    known: &Known,
    patience: Duration,
) -> Result<Outcome, String> {
    let mut connection = Connection::open(address, patience);
    let mut kept = HashMap::new();
    let (mut end, mut owed, mut last, mut until_close) = (case.end, false, false, false);
    let mut ahead = None;
    for step in &case.steps {
        if last {
            break;
        }
        let expect = match step {
            Step::Send(text) => {
                let Some(text) = known.fill(text) else {
                    return Ok(Outcome::NotApplicable);
                };
                connection.send(&unescape(&text));
                continue;
            }
            // Sent without delay, so a segment of its own in all likelihood; the outcome may not
            // depend on it.
            Step::Pause => {
                std::thread::yield_now();
                continue;
            }
            Step::Finish => {
                connection.finish();
                continue;
            }
            Step::Expect(expect) => expect,
        };
        let response = match ahead.take() {
            Some(response) => Ok(response),
            None => connection.response(expect.is_head()),
        };
        let response = match response {
            Ok(response) => response,
            Err(nothing) => {
                if expect.may_be_missing && nothing == Nothing::Closed {
                    continue;
                }
                let none = expect.alternatives.iter().any(|one| one.statuses == "none");
                if none && nothing == Nothing::Closed {
                    return Ok(Outcome::Passed);
                }
                return Err(format!("no answer: {}", told(&nothing)));
            }
        };
        let mut why = Vec::new();
        let mut matched = None;
        for alternative in &expect.alternatives {
            match holds(alternative, &response, known, &mut kept) {
                Ok(Some(())) => {
                    matched = Some(alternative);
                    break;
                }
                Ok(None) => {}
                Err(not) => why.push(not),
            }
        }
        match matched {
            Some(alternative) => {
                until_close |= response.until_close;
                for condition in &alternative.conditions {
                    match condition.as_str() {
                        "closes" => end = End::Closed,
                        "stays" => end = End::Open,
                        "unread" => (end, owed) = (End::Open, true),
                        "last" => (end, last) = (End::Closed, true),
                        _ => {}
                    }
                }
            }
            None if expect.may_be_missing => ahead = Some(response),
            None if why.is_empty() => return Err(format!("the status is {}", response.status)),
            None => return Err(format!("{}: {}", response.status, why.join("; "))),
        }
    }
    match end {
        End::Any => Ok(Outcome::Passed),
        End::Closed if until_close => Ok(Outcome::Passed),
        End::Closed => match connection.end() {
            Nothing::Closed => Ok(Outcome::Passed),
            other => Err(format!("not closed: {}", told(&other))),
        },
        End::Open => {
            if owed {
                connection.send(b"hello");
            }
            connection.send(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            match connection.response(false) {
                Ok(response) if response.status == 200 && response.body == b"hello\n" => {
                    Ok(Outcome::Passed)
                }
                Ok(response) => {
                    Err(format!("the next request is answered with {}", response.status))
                }
                Err(nothing) => Err(format!("not open: {}", told(&nothing))),
            }
        }
    }
}

pub(super) fn told(nothing: &Nothing) -> String {
    match nothing {
        Nothing::Closed => "closed".to_owned(),
        Nothing::Silent => "silent".to_owned(),
        Nothing::NoHttp(start) => format!("it sent {start}"),
    }
}

/// Whether a response is this one: None if its status is another, Err if a condition does not hold.
fn holds(
    alternative: &Alternative,
    response: &Response,
    known: &Known,
    kept: &mut HashMap<String, Option<String>>,
) -> Result<Option<()>, String> {
    let status = response.status.to_string();
    let class = format!("{}xx", &status[..1]);
    if !alternative.statuses.split(',').any(|one| one == status || one == class) {
        return Ok(None);
    }
    for condition in &alternative.conditions {
        let Some(filled) = known.fill(condition) else { continue };
        if !condition_holds(&filled, response, kept) {
            return Err(match &response.fault {
                Some(fault) => format!("not {filled}: {fault}"),
                None => format!("not {filled}"),
            });
        }
    }
    Ok(Some(()))
}

fn condition_holds(
    condition: &str,
    response: &Response,
    kept: &mut HashMap<String, Option<String>>,
) -> bool {
    match condition {
        "head" | "closes" | "stays" | "unread" | "last" => return true,
        "valid" => return response.fault.is_none(),
        "one-framing" => {
            let coded = response.get("transfer-encoding").is_some();
            return !(coded && response.get("content-length").is_some());
        }
        "te-known" => {
            let coding = response.get("transfer-encoding");
            return coding.is_none_or(|coding| coding.eq_ignore_ascii_case("chunked"));
        }
        "small" => return response.body.len() < 10_000,
        _ => {}
    }
    if let Some((what, name)) = condition.split_once(':')
        && let Some(holds) = field_holds(what, name, response, kept)
    {
        return holds;
    }
    if let Some(name) = condition.strip_prefix('+') {
        return response.get(name).is_some();
    }
    if let Some(name) = condition.strip_prefix('-') {
        return response.get(name).is_none();
    }
    let at = condition.find(['=', '~', '!']).unwrap();
    let (name, sign, value) = (&condition[..at], &condition[at..=at], &condition[at + 1..]);
    let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    let bare = if quoted && name != "ETag" { &value[1..value.len() - 1] } else { value };
    let wanted = unescape(bare);
    if name == "body" {
        let found = response.body.windows(wanted.len().max(1)).any(|part| part == wanted);
        return match sign {
            "=" => response.body == wanted,
            "~" => found,
            _ => !found,
        };
    }
    if name == "version" {
        return response.version == bare;
    }
    if name == "length" {
        return response.get("content-length").as_deref() == Some(bare)
            && response.body.len().to_string() == bare;
    }
    let Some(found) = response.get(name) else { return sign == "!" };
    let contains = found.to_ascii_lowercase().contains(&bare.to_ascii_lowercase());
    match sign {
        "=" => found == bare,
        "~" => contains,
        _ => !contains,
    }
}

/// Conditions on one field that are more than a comparison with a text.
fn field_holds(
    what: &str,
    name: &str,
    response: &Response,
    kept: &mut HashMap<String, Option<String>>,
) -> Option<bool> {
    let found = response.get(name);
    Some(match what {
        "once" => response.all(name).len() == 1,
        // IMF-fixdate alone: what is printed from what was read is the same.
        "date" => found.is_some_and(|found| {
            httpdate::parse_http_date(&found)
                .is_ok_and(|date| httpdate::fmt_http_date(date) == found)
        }),
        "past" => found.is_none_or(|found| {
            let date = response.get("date").and_then(|date| httpdate::parse_http_date(&date).ok());
            httpdate::parse_http_date(&found)
                .is_ok_and(|found| date.is_some_and(|date| found <= date))
        }),
        "tag" => found.is_some_and(|found| {
            let tag = found.strip_prefix("W/").unwrap_or(&found);
            let inside = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            inside.is_some_and(|inside| inside.bytes().all(|b| b > b' ' && b != b'"' && b != 0x7f))
        }),
        "set" => {
            kept.insert(name.to_owned(), found);
            true
        }
        "same" => kept.get(name).is_some_and(|kept| *kept == found),
        "differs" => {
            let before = kept.get(name).cloned().flatten();
            before.is_none() || before != found || found.is_some_and(|tag| tag.starts_with("W/"))
        }
        _ => return None,
    })
}
