//! What may be done with what is served, and the methods that are about that alone: OPTIONS and TRACE.

use bytes::Bytes;
use http::{HeaderValue, header};
use sockeye_http::{Framing, Method, RelativePath, Request, StatusCode};

use super::reply::Reply;
use super::root::{Found, Refused};
use super::rules::Access;
use super::{Site, SiteOptions, admission, upload};

/// Fields that tell secrets, which a reflected request must not show to scripts (RFC 9110 §9.3.8).
const SECRET: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"x-csrf-token"];

/// The methods that are there for what is served, in the order Allow names them (RFC 9110 §10.2.1).
pub(super) fn allowed(options: &SiteOptions) -> Vec<Method> {
    let mut allowed = vec![Method::GET, Method::HEAD, Method::OPTIONS];
    if options.trace {
        allowed.push(Method::TRACE);
    }
    if let Some(upload) = &options.upload {
        allowed.extend(upload.methods());
    }
    allowed
}

/// What may be asked of the resource of this path, or of the server as a whole (RFC 9110 §9.3.7). Of
/// what GET does not find, or does not show to this client, nothing else is told.
pub(super) fn options(
    site: &Site,
    request: &Request<'_, '_>,
    path: Option<&RelativePath<'_>>,
) -> Result<Reply, Refused> {
    if let Some(path) = path
        && let Some(denied) = admission::denied(site, request, path.as_bytes(), Access::Read)
    {
        return Ok(denied);
    }
    let mut allow = allowed(&site.options);
    if let Some(path) = path {
        let is_folder = find(site, path)?;
        let changes =
            site.options.upload.as_ref().filter(|_| {
                admission::denied(site, request, path.as_bytes(), Access::Write).is_none()
            });
        let plain = allowed(&SiteOptions { upload: None, ..site.options.clone() });
        allow.retain(|method| {
            plain.contains(method) || changes.is_some_and(|upload| upload.suits(method, is_folder))
        });
    }
    let names: Vec<&str> = allow.iter().map(Method::as_str).collect();
    let value = HeaderValue::from_str(&names.join(", "));
    let reply = Reply::new(StatusCode::NO_CONTENT)
        .header(header::ALLOW, value.expect("methods hold no control characters"));
    let lines = upload::capabilities(site).into_iter();
    Ok(lines.fold(reply, |reply, (name, value)| reply.header(name, value)))
}

/// Whether there is something to get, and whether it is a folder.
fn find(site: &Site, path: &RelativePath<'_>) -> Result<bool, Refused> {
    let files = &site.options.files;
    if files.fallback_of(path.as_bytes()).is_some() {
        return Ok(false);
    }
    if !files.shows_path(path.as_bytes()) {
        return Err(Refused::NotFound);
    }
    match site.root.find(path.as_bytes())? {
        // A slash at the end can only mean a folder.
        Found::File(_) if path.has_trailing_slash() => Err(Refused::NotFound),
        Found::File(_) => Ok(false),
        Found::Folder(_) => Ok(true),
    }
}

/// The request as it arrived, without its secrets (RFC 9110 §9.3.8); `head` is its head.
pub(super) fn trace(head: &[u8], request: &Request<'_, '_>) -> Reply {
    if request.body() != Framing::None {
        return Reply::failure(
            StatusCode::BAD_REQUEST,
            "content in a TRACE request (RFC 9110 §9.3.8)",
        );
    }
    Reply::new(StatusCode::OK).typed("message/http", reflected(head))
}

fn reflected(head: &[u8]) -> Bytes {
    let lines = head.trim_ascii_start().split_inclusive(|byte| *byte == b'\n');
    let shown = lines.filter(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name))
    });
    shown.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflected_request_lost_its_secrets_and_nothing_else() {
        let head = b"\r\nTRACE /a?cookie: HTTP/1.1\r\nHost: h\r\nCOOKIE: a=b\r\nX: Cookie: c\r\n\
            Proxy-Authorization: x\r\nauthorization: Basic eA==\r\nCookies: d\r\n\r\n";
        let shown = "TRACE /a?cookie: HTTP/1.1\r\nHost: h\r\nX: Cookie: c\r\nCookies: d\r\n\r\n";
        assert_eq!(reflected(head), shown);
    }
}
