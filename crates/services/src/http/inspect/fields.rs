//! What header fields and methods are for, and the section that says so.

/// A field or a method, in few words.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) is: &'static str,
    pub(super) section: &'static str,
}

const fn known(name: &'static str, is: &'static str, section: &'static str) -> Known {
    Known { name, is, section }
}

/// What is known of a header field, whatever the case of its name.
pub(super) fn field(name: &str) -> Option<&'static Known> {
    let name = name.to_ascii_lowercase();
    let at = FIELDS.binary_search_by(|field| field.name.cmp(&name)).ok()?;
    FIELDS.get(at)
}

/// What a method asks for.
pub(super) fn method(name: &str) -> Option<&'static Known> {
    METHODS.iter().find(|method| method.name == name)
}

/// By name.
static FIELDS: [Known; 71] = [
    known("accept", "media types the client would like", "RFC 9110 §12.5.1"),
    known("accept-charset", "charsets the client would like; deprecated", "RFC 9110 §12.5.2"),
    known("accept-encoding", "content codings the client takes", "RFC 9110 §12.5.3"),
    known("accept-language", "languages the client would like", "RFC 9110 §12.5.4"),
    known(
        "access-control-request-headers",
        "a browser asks whether a script may send these fields",
        "Fetch §3.3",
    ),
    known(
        "access-control-request-method",
        "a browser asks whether a script may use this method",
        "Fetch §3.3",
    ),
    known("alt-used", "which alternative of the server is used", "RFC 7838 §5"),
    known("authorization", "credentials of the client", "RFC 9110 §11.6.2"),
    known("cache-control", "what caches on the way may do", "RFC 9111 §5.2"),
    known("connection", "options of this connection alone", "RFC 9110 §7.6.1"),
    known("content-digest", "digest of the content as sent", "RFC 9530 §2"),
    known("content-disposition", "how the content is to be shown or named", "RFC 6266 §4"),
    known("content-encoding", "codings applied to the content", "RFC 9110 §8.4"),
    known("content-language", "language of the content", "RFC 9110 §8.5"),
    known("content-length", "bytes of content that follow the head", "RFC 9110 §8.6"),
    known("content-location", "an address of just this content", "RFC 9110 §8.7"),
    known("content-md5", "digest of the content; obsolete", "RFC 9110 §18.4"),
    known("content-range", "which part of the whole this content is", "RFC 9110 §14.4"),
    known("content-type", "media type of the content", "RFC 9110 §8.3"),
    known("cookie", "what the server told the client to send back", "RFC 6265 §5.4"),
    known("date", "when the message was made", "RFC 9110 §6.6.1"),
    known("depth", "how deep into a collection a WebDAV method goes", "RFC 4918 §10.2"),
    known("destination", "where WebDAV copies or moves to", "RFC 4918 §10.3"),
    known("dnt", "the user would rather not be tracked; abandoned", "W3C Tracking Preference §5.2"),
    known("early-data", "the request came in TLS early data", "RFC 8470 §5.1"),
    known("expect", "the client waits for 100 before it sends the content", "RFC 9110 §10.1.1"),
    known("forwarded", "what proxies on the way saw", "RFC 7239 §4"),
    known("from", "mailbox of the person behind the client", "RFC 9110 §10.1.2"),
    known("host", "host and port of the target", "RFC 9110 §7.2"),
    known(
        "idempotency-key",
        "marks repetitions of one request",
        "draft-ietf-httpapi-idempotency-key-header",
    ),
    known("if", "states of WebDAV that must hold", "RFC 4918 §10.4"),
    known("if-match", "only if the target still has one of these tags", "RFC 9110 §13.1.1"),
    known("if-modified-since", "only if the target was changed since", "RFC 9110 §13.1.3"),
    known("if-none-match", "only if the target has none of these tags", "RFC 9110 §13.1.2"),
    known("if-range", "the range only if nothing was changed, else the whole", "RFC 9110 §13.1.5"),
    known("if-unmodified-since", "only if the target was not changed since", "RFC 9110 §13.1.4"),
    known("keep-alive", "how long to keep the connection; a hint of old", "RFC 2068 §19.7.1.1"),
    known("link", "other resources and how they relate", "RFC 8288 §3"),
    known("max-forwards", "how often TRACE or OPTIONS may be forwarded", "RFC 9110 §7.6.2"),
    known("origin", "which site's page caused the request", "RFC 6454 §7"),
    known("pragma", "no-cache for caches of HTTP/1.0; deprecated", "RFC 9111 §5.4"),
    known("prefer", "wishes the server may ignore", "RFC 7240 §2"),
    known("priority", "how urgent the answer is", "RFC 9218 §5"),
    known("proxy-authorization", "credentials for a proxy", "RFC 9110 §11.7.2"),
    known("proxy-connection", "Connection, misspelt for proxies; not standard", "RFC 9112 §C.2.2"),
    known("range", "which part of the target is wanted", "RFC 9110 §14.2"),
    known("referer", "the page that led here", "RFC 9110 §10.1.3"),
    known("repr-digest", "digest of the whole representation", "RFC 9530 §3"),
    known("sec-ch-ua", "brands of the browser, as a client hint", "User-Agent Client Hints §3.1"),
    known("sec-ch-ua-mobile", "whether the browser is on a phone", "User-Agent Client Hints §3.6"),
    known("sec-ch-ua-platform", "the system the browser runs on", "User-Agent Client Hints §3.8"),
    known("sec-fetch-dest", "what the browser needs it for", "Fetch Metadata §2.1"),
    known("sec-fetch-mode", "how the browser asks", "Fetch Metadata §2.2"),
    known("sec-fetch-site", "how the asking site relates to this one", "Fetch Metadata §2.3"),
    known("sec-fetch-user", "the user caused it himself", "Fetch Metadata §2.4"),
    known("sec-gpc", "the user does not want his data sold", "Global Privacy Control §3.2"),
    known("sec-websocket-key", "proves that the server means WebSocket", "RFC 6455 §11.3.1"),
    known("sec-websocket-protocol", "protocols to speak within WebSocket", "RFC 6455 §11.3.4"),
    known("sec-websocket-version", "version of WebSocket", "RFC 6455 §11.3.5"),
    known("te", "transfer codings the client takes, and trailers", "RFC 9110 §10.1.4"),
    known("traceparent", "the trace that the request is a part of", "W3C Trace Context §3.2"),
    known("tracestate", "what vendors add to the trace", "W3C Trace Context §3.3"),
    known("trailer", "fields that come behind the content", "RFC 9110 §6.6.2"),
    known("transfer-encoding", "how the content is framed", "RFC 9112 §6.1"),
    known("upgrade", "protocols the client would rather speak", "RFC 9110 §7.8"),
    known(
        "upgrade-insecure-requests",
        "the client would rather be on https",
        "W3C Upgrade Insecure Requests §3.2",
    ),
    known("user-agent", "the program of the client", "RFC 9110 §10.1.5"),
    known("via", "proxies on the way", "RFC 9110 §7.6.3"),
    known("x-forwarded-for", "addresses before the proxies; see Forwarded", "RFC 7239 §7.4"),
    known("x-forwarded-proto", "scheme before the proxies; see Forwarded", "RFC 7239 §7.4"),
    known("x-requested-with", "a script asks; not standard", ""),
];

static METHODS: [Known; 10] = [
    known("GET", "send the target", "RFC 9110 §9.3.1"),
    known("HEAD", "send the head alone of what GET would", "RFC 9110 §9.3.2"),
    known("POST", "let the target process the content", "RFC 9110 §9.3.3"),
    known("PUT", "make the content the target", "RFC 9110 §9.3.4"),
    known("DELETE", "remove the target", "RFC 9110 §9.3.5"),
    known("OPTIONS", "say what may be done with the target", "RFC 9110 §9.3.7"),
    known("TRACE", "send back the request", "RFC 9110 §9.3.8"),
    known("PATCH", "change the target as the content says", "RFC 5789 §2"),
    known(
        "QUERY",
        "answer the question in the content, changing nothing",
        "draft-ietf-httpbis-safe-method-w-body",
    ),
    known("MKCOL", "make a folder", "RFC 4918 §9.3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_in_any_case() {
        assert!(FIELDS.is_sorted_by(|a, b| a.name < b.name));
        for known in &FIELDS {
            let found = field(&known.name.to_ascii_uppercase());
            assert_eq!(found.map(|found| found.name), Some(known.name));
        }
        assert!(field("x-nobody-knows").is_none());
    }
}
