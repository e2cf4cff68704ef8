//! Whether a request comes from a page of this site.
//!
//! A browser sends forms of any page to any server, with whatever its user is known by there. So what
//! changes something and says that it was sent by a page is taken from this site's own pages alone:
//! browsers tell by Sec-Fetch-Site (Fetch Metadata) and by Origin (RFC 6454 §7), and pages can forge
//! neither. Programs say neither, and are no danger of this kind.

use http::{HeaderValue, header};
use sockeye_http::StatusCode;

use super::super::asked::Asked;
use super::super::rules::Cors;
use super::refusal::Refusal;

/// Refuses what another site's page sent.
pub(super) fn check(asked: &Asked, cors: &Cors) -> Result<(), Refusal> {
    let mut sites = asked.headers.get_all("sec-fetch-site").iter();
    let mut origins = asked.headers.get_all(header::ORIGIN).iter();
    let origin = origins.next();
    // Pages that were named are trusted; that all may read does not mean that all may write.
    let named = matches!(cors, Cors::Origins(_))
        && cors.allowed(origin.map(HeaderValue::as_bytes)).is_some();
    let ours = named
        || match (sites.next(), origin) {
            // `none`: the user's own doing, by the address bar say.
            (Some(site), _) => matches!(site.as_bytes(), b"same-origin" | b"none"),
            (None, Some(origin)) => is_ours(origin.as_bytes(), asked.host.as_deref()),
            (None, None) => true,
        };
    if ours && origins.next().is_none() {
        return Ok(());
    }
    let detail = "a page of another site asked for this; only pages of this site may change files";
    Err(Refusal::new(StatusCode::FORBIDDEN, detail))
}

/// Whether an origin is the host that was asked. The scheme is not compared: what ends TLS may stand
/// in front of us.
fn is_ours(origin: &[u8], host: Option<&str>) -> bool {
    let Some(host) = host else { return false };
    let Some(at) = origin.windows(3).position(|part| part == b"://") else { return false };
    let (scheme, named) = (&origin[..at], &origin[at + 3..]);
    let default: &[u8] = if scheme.eq_ignore_ascii_case(b"https") { b":443" } else { b":80" };
    let plain = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        name.strip_suffix(default).map(<[u8]>::to_vec).unwrap_or(name)
    };
    plain(named) == plain(host.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_if_its_host_and_port_are_those_that_were_asked() {
        for (origin, host, ours) in [
            ("http://a.example", Some("a.example"), true),
            ("http://A.example:80", Some("a.example"), true),
            ("https://a.example", Some("a.example:443"), true),
            ("http://a.example:8000", Some("a.example:8000"), true),
            ("http://[::1]:8000", Some("[::1]:8000"), true),
            ("http://a.example:8000", Some("a.example"), false),
            ("http://b.example", Some("a.example"), false),
            ("http://a.example.evil", Some("a.example"), false),
            ("null", Some("null"), false),
            ("", Some(""), false),
            ("http://a.example", None, false),
        ] {
            assert_eq!(is_ours(origin.as_bytes(), host), ours, "{origin} {host:?}");
        }
    }
}
