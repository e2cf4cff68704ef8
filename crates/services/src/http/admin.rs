//! What machines ask that look after a server: metrics, and whether it lives and is ready. On an
//! endpoint of its own, so that nobody who may fetch files may ask this too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockeye_engine::Stream;
use sockeye_http::{
    ErrorResponse, Framing, HeaderStorage, ImfFixdate, Limits, Method, Persistence, Progress,
    Request, RequestParser, ResponseHead, StatusCode, Target, header,
};

use super::ledger::{Ledger, MEDIA_TYPE};

/// How long somebody who asks may take for all of it, and be silent.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of a refused client that are read so that it gets to see the refusal.
const LINGER: u64 = 64 * 1024;

/// Answers `/metrics`, `/healthz` and `/readyz`.
pub struct Admin {
    ledger: Arc<Ledger>,
    stopping: AtomicBool,
}

/// What there is to be had.
enum Page {
    Metrics,
    Health,
    Ready,
}

impl Admin {
    /// Tells of the server that keeps this book.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Admin {
        Admin { ledger, stopping: AtomicBool::new(false) }
    }

    /// From now on it is not ready for more: `/readyz` says 503.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Serves one connection to its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn serve(self: Arc<Self>, mut stream: Stream) {
        let mut received: Vec<u8> = Vec::new();
        let mut parser = RequestParser::new();
        loop {
            if received.is_empty() {
                // The next head, however it trickles.
                stream.set_deadline(Some(PATIENCE));
            }
            match stream.recv_idle().await {
                Ok(Some(chunk)) if !chunk.is_empty() => received.extend_from_slice(&chunk),
                _ => return,
            }
            loop {
                let mut storage = HeaderStorage::new();
                let (consumed, last) =
                    match parser.parse(&received, &Limits::default(), &mut storage) {
                        Ok(Progress::Incomplete) => break,
                        Ok(Progress::Complete { request, consumed }) => {
                            (consumed, self.answer(&mut stream, &request))
                        }
                        Err(error) => {
                            let detail = error.to_string();
                            let refused = ErrorResponse {
                                detail: Some(&detail),
                                ..ErrorResponse::new(error.status())
                            };
                            stream.write_with(|out| refused.write(out));
                            (received.len(), true)
                        }
                    };
                received.drain(..consumed);
                parser = RequestParser::new();
                stream.set_deadline(Some(PATIENCE));
                if last {
                    return stream.close_lingering(LINGER).await;
                }
                if stream.flush().await.is_err() {
                    return;
                }
                if received.is_empty() {
                    break;
                }
            }
        }
    }

    /// Writes the answer; whether it is the last one.
    fn answer(&self, stream: &mut Stream, request: &Request<'_, '_>) -> bool {
        // What a body is for, nothing here knows: the connection ends rather than to skip it.
        let has_body = !matches!(request.body(), Framing::None | Framing::Length(0));
        let mut persistence = request.persistence();
        if has_body || sockeye_engine::stopping() {
            persistence = Persistence::Close;
        }
        let date = ImfFixdate::from_unix(sockeye_engine::unix_now());
        let head_only = *request.method() == Method::HEAD;
        let page = match *request.target() {
            Target::Origin { path, .. } | Target::Absolute { path, .. } => match path {
                "/metrics" => Some(Page::Metrics),
                "/healthz" => Some(Page::Health),
                "/readyz" => Some(Page::Ready),
                _ => None,
            },
            _ => None,
        };
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let refused = match (&page, reads) {
            (None, _) => Some((StatusCode::NOT_FOUND, "there is /metrics, /healthz and /readyz")),
            (Some(_), false) => Some((StatusCode::METHOD_NOT_ALLOWED, "")),
            (Some(_), true) => None,
        };
        if let Some((status, detail)) = refused {
            let refused = ErrorResponse {
                date: Some(&date),
                detail: (!detail.is_empty()).then_some(detail),
                allow: if reads { &[] } else { &[Method::GET, Method::HEAD] },
                head_only,
                persistence,
                ..ErrorResponse::new(status)
            };
            stream.write_with(|out| refused.write(out));
            return persistence == Persistence::Close;
        }
        let (status, kind, text) = match page {
            Some(Page::Metrics) => (StatusCode::OK, MEDIA_TYPE, self.ledger.metrics()),
            Some(Page::Ready) if self.stopping.load(Ordering::SeqCst) => {
                (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "stopping\n".to_owned())
            }
            Some(Page::Ready) => (StatusCode::OK, PLAIN, "ready\n".to_owned()),
            _ => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        };
        stream.write_with(|out| {
            let mut head = ResponseHead::new(out, status);
            head.date(&date);
            let written = head
                .header(&header::CONTENT_TYPE, kind)
                .and_then(|head| head.header(&header::CACHE_CONTROL, "no-store"));
            debug_assert!(written.is_ok(), "constants hold no control characters");
            head.content_length(text.len() as u64).persistence(persistence);
            head.finish();
            if !head_only {
                out.extend_from_slice(text.as_bytes());
            }
        });
        persistence == Persistence::Close
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";
