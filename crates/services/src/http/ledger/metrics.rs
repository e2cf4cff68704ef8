//! The counts of all pages as Prometheus reads them: its text format, version 0.0.4.

use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;

use super::tally::{BOUNDS, CLASSES, METHODS, Tally};
use super::{Ledger, Limit, lock};

/// The media type of [`Ledger::metrics`].
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Ledger {
    /// All counts since the start, for Prometheus. Totals never go back.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (mut tally, mut lost) = (Tally::default(), 0);
        for page in &self.pages {
            let page = lock(page);
            tally.join(&page.tally);
            lost += page.lost_ever;
        }
        let mut text = Text(String::with_capacity(4096));
        text.requests(&tally);
        text.durations(&tally);
        text.one("sockeye_http_sent_bytes_total", "counter", "Bytes of content sent.", tally.sent);
        let help = "Bytes of requests received, heads and content.";
        text.one("sockeye_http_received_bytes_total", "counter", help, tally.received);
        let help = "Exchanges that ended before all of the answer was sent.";
        text.one("sockeye_http_cut_total", "counter", help, tally.cut);
        // In this order, so that no more have gone than came.
        let closed = self.counts.closed.load(Ordering::SeqCst);
        let opened = self.counts.opened.load(Ordering::SeqCst);
        text.one("sockeye_connections_total", "counter", "Connections accepted.", opened);
        let open = opened.saturating_sub(closed);
        text.one("sockeye_connections_open", "gauge", "Connections open now.", open);
        self.limits(&mut text);
        let help = "Lines of the access log that were not written.";
        let lost = lost + self.counts.unwritten.load(Ordering::Relaxed);
        text.one("sockeye_log_lines_lost_total", "counter", help, lost);
        let version = Label(env!("CARGO_PKG_VERSION"));
        text.head("sockeye_build_info", "gauge", "1, with the version of the program.");
        text.line(format_args!("sockeye_build_info{{version=\"{version}\"}} 1"));
        text.0
    }

    fn limits(&self, text: &mut Text) {
        let name = "sockeye_limit_hits_total";
        text.head(name, "counter", "How often a limit ended or refused something.");
        for limit in Limit::ALL {
            let hits = self.counts.limits[limit as usize].load(Ordering::Relaxed);
            text.line(format_args!("{name}{{limit=\"{}\"}} {hits}", Label(limit.name())));
        }
    }
}

/// Lines of the format.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {}", Help(help)));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn requests(&mut self, tally: &Tally) {
        let name = "sockeye_http_requests_total";
        self.head(name, "counter", "Requests answered, by method and class of status.");
        for (method, counts) in METHODS.iter().zip(&tally.requests) {
            for (class, count) in (1..=CLASSES).zip(counts) {
                if *count > 0 {
                    let method = Label(method);
                    self.line(format_args!(
                        "{name}{{method=\"{method}\",status=\"{class}xx\"}} {count}"
                    ));
                }
            }
        }
    }

    fn durations(&mut self, tally: &Tally) {
        let name = "sockeye_http_request_duration_seconds";
        let help = "From when a request began to arrive until its answer was sent.";
        self.head(name, "histogram", help);
        let mut so_far = 0;
        for (bound, count) in BOUNDS.iter().zip(&tally.durations) {
            so_far += count;
            let bound = Seconds(*bound);
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {so_far}"));
        }
        let all = so_far + tally.durations[BOUNDS.len()];
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {all}"));
        let micros = u64::try_from(tally.time.as_micros()).unwrap_or(u64::MAX);
        self.line(format_args!("{name}_sum {}", Seconds(micros)));
        self.line(format_args!("{name}_count {all}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let written = writeln!(self.0, "{line}");
        debug_assert!(written.is_ok(), "memory takes all");
    }
}

/// Microseconds as seconds, exactly.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        let text = text.trim_end_matches('0');
        f.write_str(text.strip_suffix('.').unwrap_or(text))
    }
}

/// The text of a help: backslashes and ends of lines are escaped.
struct Help<'a>(&'a str);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, false, f)
    }
}

/// The value of a label: quotes, too.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, true, f)
    }
}

fn escape(text: &str, quotes: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for shown in text.chars() {
        match shown {
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '"' if quotes => f.write_str("\\\"")?,
            shown => f.write_char(shown)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_the_format_is_escaped() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), r#"a\"b\\c\nd"#);
        assert_eq!(Help("a\"b\\c\nd").to_string(), r#"a"b\\c\nd"#);
    }

    #[test]
    fn microseconds_are_written_as_seconds() {
        for (micros, text) in
            [(0, "0"), (100, "0.0001"), (30_000_000, "30"), (1_234_567, "1.234567")]
        {
            assert_eq!(Seconds(micros).to_string(), text);
        }
    }
}
