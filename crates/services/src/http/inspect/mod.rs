//! Any request answered with what arrived, taken apart and explained; and on demand statuses, delays,
//! sizes and broken answers, for people who write clients.
//!
//! ```text
//!   head, content ──> arrived ──> text | json | page
//!            path ──> demand ──> made
//!      no request ──> refused
//! ```

mod arrived;
mod chunks;
mod decoded;
mod demand;
mod fields;
mod json;
mod made;
mod page;
pub(super) mod refused;
mod text;

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;

use http::{HeaderValue, Method, header};
use sha2::{Digest as _, Sha256};
use sockeye_engine::sleep;
use sockeye_http::Request;
use sockeye_http::negotiate::choose_type;

use super::Site;
use super::asked::Asked;
use super::intake::{Intake, IntakeError, Taker, Terms};
use super::reply::{Content, Reply};
use arrived::{Arrived, Facts, Received};
use demand::Demand;

/// Bytes of content at most; more is refused.
const MOST: u64 = 1024 * 1024 * 1024;

/// Bytes of content, and of its framing, that are kept to be shown.
const KEPT: usize = 64 * 1024;

/// What a report can be had as, our favourite first: what takes anything is a program on a terminal.
const TYPES: [&str; 3] = ["text/plain", "application/json", "text/html"];

/// Who answers this request, if requests are inspected here: all but CONNECT, which has no content and
/// asks for a tunnel.
pub(super) fn taker(site: &Site, head: &[u8], request: &Request<'_, '_>) -> Option<Box<dyn Taker>> {
    if !site.options.inspect || *request.method() == Method::CONNECT {
        return None;
    }
    Some(Box::new(Inspect { asked: Asked::new(head, request), pause: site.options.body }))
}

/// A request that is answered with itself.
struct Inspect {
    asked: Asked,
    /// How long the client may send nothing of its content.
    pause: Duration,
}

impl Taker for Inspect {
    fn terms(&self) -> Terms {
        Terms { most: MOST, pause: self.pause, rate: None }
    }

    fn take<'i>(
        self: Box<Self>,
        intake: &'i mut Intake<'_>,
    ) -> Pin<Box<dyn Future<Output = Reply> + 'i>> {
        Box::pin(self.run(intake))
    }
}

impl Inspect {
    async fn run(self: Box<Self>, intake: &mut Intake<'_>) -> Reply {
        let demand = match Demand::read(&self.asked) {
            Ok(demand) => demand,
            Err(wrong) => Demand::Reply(Reply::failure(http::StatusCode::BAD_REQUEST, &wrong)),
        };
        if self.asked.expects_continue && demand.needs_no_content() {
            return match demand {
                Demand::Reply(reply) => fresh(reply),
                _ => Reply::new(http::StatusCode::EXPECTATION_FAILED),
            };
        }
        let received = match receive(intake).await {
            Ok(received) => received,
            Err(error) => return self.refused(intake, &error),
        };
        match demand {
            Demand::Reply(reply) => fresh(reply),
            Demand::Interim(interim, reply) => {
                intake.interim(interim.as_bytes()).await;
                fresh(reply)
            }
            Demand::Reset(reply) => {
                intake.reset_at_end();
                fresh(reply)
            }
            Demand::Report(delay) => {
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                self.report(intake, received)
            }
        }
    }

    fn report(&self, intake: &Intake<'_>, received: Received) -> Reply {
        let asked = &self.asked;
        let facts = Facts {
            client: intake.peer(),
            server: intake.local(),
            request: intake.number(),
            start: intake.start(),
            bytes: (asked.head.len() as u64).saturating_add(received.raw_length),
        };
        let nothing = received.length == 0 && asked.query.is_none();
        let front = asked.path == "/" && asked.method == Method::GET && nothing;
        let arrived = Arrived::new(&asked.head, asked.framing, received, facts);
        let (kind, text) = match format(asked) {
            "application/json" => ("application/json", json::write(&arrived)),
            "text/html" => ("text/html; charset=utf-8", page::write(&arrived, front)),
            _ => ("text/plain; charset=utf-8", text::write(&arrived, front)),
        };
        let mut reply = Reply::new(http::StatusCode::OK)
            .typed(kind, text)
            .header(header::VARY, HeaderValue::from_static("Accept"))
            .header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if kind.starts_with("text/html")
            && let Ok(policy) = HeaderValue::from_str(&page::POLICY)
        {
            reply = reply.header(header::CONTENT_SECURITY_POLICY, policy);
        }
        fresh(reply)
    }

    /// Content that is not what its framing says, late, or too long.
    fn refused(&self, intake: &Intake<'_>, error: &IntakeError) -> Reply {
        let status = error.status();
        let text = error.to_string();
        let record = intake.record();
        let raw = match error {
            // Only what is at hand from its first byte on can be read again.
            IntakeError::Body(_) if record.length == record.kept.len() as u64 => {
                [&record.kept[..], intake.pending()].concat()
            }
            _ => Vec::new(),
        };
        let text = refused::body(&raw, self.asked.framing, status, &text);
        fresh(Reply::text(status, text))
    }
}

/// Takes all of the content and keeps the first of it.
async fn receive(intake: &mut Intake<'_>) -> Result<Received, IntakeError> {
    intake.keep_record(KEPT);
    let mut received = Received::default();
    let mut digest = Sha256::new();
    while let Some(part) = intake.next().await? {
        digest.update(&part);
        received.length = received.length.saturating_add(part.len() as u64);
        let room = KEPT.saturating_sub(received.content.len()).min(part.len());
        received.content.extend_from_slice(part.get(..room).unwrap_or_default());
    }
    if received.length > 0 {
        let mut text = String::with_capacity(64);
        for byte in digest.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        received.sha256 = Some(text);
    }
    let record = intake.record();
    received.raw = record.kept.clone();
    received.raw_length = record.length;
    received.trailers = intake.trailers();
    Ok(received)
}

/// What the client would like to have a report as.
fn format(asked: &Asked) -> &'static str {
    let query = asked.query.as_deref().unwrap_or_default();
    let wish = query.split('&').find_map(|pair| pair.strip_prefix("format="));
    match wish {
        Some("text") => TYPES[0],
        Some("json") => TYPES[1],
        Some("html" | "page") => TYPES[2],
        _ => {
            let lines = asked.headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes);
            choose_type(lines, &TYPES).and_then(|at| TYPES.get(at)).unwrap_or(&TYPES[0])
        }
    }
}

/// Not for caches, unless it can be had in parts.
fn fresh(reply: Reply) -> Reply {
    let is_made = matches!(reply.content, Content::Produced(_, Some(_)));
    if is_made || reply.headers.contains_key(header::CACHE_CONTROL) {
        return reply;
    }
    reply.header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
