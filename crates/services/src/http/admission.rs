//! Who asks, whether he may, and what pages of other origins get to see.

use http::{HeaderName, HeaderValue, header};
use sockeye_http::{Method, Request, StatusCode};

use super::Site;
use super::lines::EXPOSED;
use super::reply::{Content, Reply};
use super::root::Found;
use super::rules::{Access, Cors, Verdict};
use super::users::Credentials;

/// How long, in seconds, a browser may remember what it was allowed to send.
const PREFLIGHT_AGE: &str = "86400";

/// The password that came with a request and was not found right yet; that is to be found out, off
/// the loop, before the request is answered.
pub(super) fn unchecked(site: &Site, request: &Request<'_, '_>) -> Option<Credentials> {
    let users = site.options.rules.users.as_ref()?;
    let credentials = credentials(request)?;
    (!users.recall(&credentials)).then_some(credentials)
}

/// The user whose password came with the request, if it is right.
pub(super) fn user(site: &Site, request: &Request<'_, '_>) -> Option<String> {
    let users = site.options.rules.users.as_ref()?;
    let credentials = credentials(request)?;
    users.recall(&credentials).then_some(credentials.user)
}

fn credentials(request: &Request<'_, '_>) -> Option<Credentials> {
    let mut lines = request.get_all("authorization");
    match (lines.next(), lines.next()) {
        (Some(value), None) => Credentials::read(value),
        _ => None,
    }
}

/// What a request is told that may not do what takes `needed` under `path`, which has no slash at its
/// start; None if it may.
pub(super) fn denied(
    site: &Site,
    request: &Request<'_, '_>,
    path: &[u8],
    needed: Access,
) -> Option<Reply> {
    let rules = &site.options.rules;
    if rules.grants_all() {
        return None;
    }
    match rules.judge(path, user(site, request).as_deref(), needed) {
        Verdict::Granted => None,
        Verdict::Forbidden => Some(site.failure(StatusCode::FORBIDDEN, "")),
        Verdict::NeedsPassword => {
            let challenge = HeaderValue::from_static("Basic realm=\"sockeye\", charset=\"UTF-8\"");
            let reply = site.failure(StatusCode::UNAUTHORIZED, "");
            Some(reply.header(header::WWW_AUTHENTICATE, challenge))
        }
    }
}

/// The answer to a browser that asks what a page of another origin may send (the Fetch standard's
/// CORS-preflight request); None if it is none, or nobody may.
pub(super) fn preflight(site: &Site, request: &Request<'_, '_>) -> Option<Reply> {
    if *request.method() != Method::OPTIONS || site.options.rules.cors == Cors::Off {
        return None;
    }
    request.get("access-control-request-method")?;
    let mut reply = Reply::new(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS))
        .header(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
    if let Some(names) = request.get("access-control-request-headers")
        && let Ok(names) = HeaderValue::from_bytes(names)
    {
        reply = reply.header(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    Some(reply)
}

/// What a page may try; what of it comes to something is for the answer to that.
const METHODS: &str = "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE";

/// Lines for the answer to a request with this Origin that are not the same for all, each with its end.
pub(super) fn of_origin(cors: &Cors, origin: Option<&[u8]>) -> Vec<u8> {
    let Cors::Origins(_) = cors else {
        return Vec::new();
    };
    let Some(allowed) = cors.allowed(origin) else {
        return Vec::new();
    };
    format!(
        "Access-Control-Allow-Origin: {allowed}\r\nAccess-Control-Allow-Credentials: true\r\n\
         Access-Control-Expose-Headers: {EXPOSED}\r\n"
    )
    .into_bytes()
}

impl Site {
    /// Why it can't be done: the site's own page for this status, or a line for a person.
    pub(super) fn failure(&self, status: StatusCode, detail: &str) -> Reply {
        if let Some(page) = self.options.files.error_pages.get(&status.as_u16())
            && let Ok(Found::File(opened)) = self.root.find(page.as_bytes())
            && let Ok(kind) =
                HeaderValue::try_from(self.options.files.content_type(page.as_bytes()))
        {
            let size = opened.size();
            return Reply::new(status)
                .header(header::CONTENT_TYPE, kind)
                .content(Content::File(opened, 0..size));
        }
        Reply::failure(status, detail)
    }

    /// Adds to a reply what the rules say of answers under `path` to requests with this Origin. What
    /// the reply says itself stays.
    pub(super) fn dress(&self, mut reply: Reply, path: &[u8], origin: Option<&[u8]>) -> Reply {
        let rules = &self.options.rules;
        let said = |reply: &Reply, name: &HeaderName| reply.headers.contains_key(name);
        for (name, value) in rules.headers(path) {
            if !said(&reply, name) {
                reply.headers.insert(name, value.clone());
            }
        }
        if rules.cors == Cors::Off || said(&reply, &header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return reply;
        }
        if let Some(allowed) = rules.cors.allowed(origin)
            && let Ok(allowed) = HeaderValue::from_str(allowed)
        {
            reply.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            let exposed = HeaderValue::from_static(EXPOSED);
            reply.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            if rules.cors != Cors::Any {
                let yes = HeaderValue::from_static("true");
                reply.headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        let varies = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"origin");
        if rules.cors != Cors::Any && !reply.headers.get_all(header::VARY).iter().any(varies) {
            reply.headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        reply
    }
}
