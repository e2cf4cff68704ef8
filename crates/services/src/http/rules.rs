//! What a site says and allows by path: header lines, other origins, who may read and write.
//!
//! Plain values, which flags and a configuration file fill in alike. Where several rules of a kind
//! match a path, the last one counts: what holds everywhere comes first, exceptions behind it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, TRAILER, TRANSFER_ENCODING, UPGRADE};

use super::users::Users;

/// All rules of a site. The default has none: everybody may do what the site does at all.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Header lines for answers under a path.
    pub headers: Vec<HeaderRule>,
    /// Which other origins' pages may read answers.
    pub cors: Cors,
    /// Who may do what where. Before them stands one that follows from `users`: with users nobody
    /// gets in without a password, without users everybody may do everything.
    pub access: Vec<AccessRule>,
    /// Who has a password.
    pub users: Option<Arc<Users>>,
}

/// A header line for answers to requests of some paths.
#[derive(Clone, Debug)]
pub struct HeaderRule {
    /// Where it holds.
    pub paths: Paths,
    /// The header.
    pub name: HeaderName,
    /// Its value; None takes away what earlier rules said.
    pub value: Option<HeaderValue>,
}

/// Which pages of other origins may read answers (the Fetch standard's CORS protocol).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// None: no header is sent.
    #[default]
    Off,
    /// All, as for what is public anyway; never with credentials.
    Any,
    /// Those of these origins (`https://app.example`), also with credentials.
    Origins(Vec<String>),
}

/// Who may do what under some paths.
#[derive(Clone, Debug)]
pub struct AccessRule {
    /// Where it holds.
    pub paths: Paths,
    /// For whom.
    pub who: Who,
    /// What they may do.
    pub access: Access,
}

/// Whom an [`AccessRule`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anyone, with a password or without; written `*`.
    Anyone,
    /// Whoever has a password; written `@`.
    AnyUser,
    /// One user.
    User(String),
}

/// What one may do, each including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    None,
    /// GET and HEAD.
    Read,
    /// What else the site is there for: uploads and deletes, if it takes any.
    Write,
}

/// What becomes of a request as far as the rules go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Granted,
    /// Nobody known as this may; 403.
    Forbidden,
    /// A user might; 401.
    NeedsPassword,
}

/// Paths, by a pattern.
///
/// `*` is any run of characters but a slash, `**` any run at all, `?` one character, `[ab]` one of
/// these, `{a,b}` either. A pattern without a slash is about the name alone, wherever it is (`*.html`);
/// one with a slash about the whole path (`/assets/**`). A slash at the end means the folder with all
/// that is in it (`/private/`).
#[derive(Clone, Debug)]
pub struct Paths {
    pattern: String,
    /// Folder patterns have two: the folder itself, and what is in it.
    matchers: Vec<GlobMatcher>,
    name_only: bool,
}

/// A rule that can't be understood. The user's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not none, read or write.
    #[error("'{0}' is no access (give none, read or write)")]
    Access(String),
    /// A header that belongs to the message itself.
    #[error("{0} can't be set: it is part of how messages are sent")]
    Framing(HeaderName),
    /// A part is missing.
    #[error("'{0}' lacks a part (give '{1}')")]
    Missing(String, &'static str),
    /// A name no header can have.
    #[error("'{0}' is no name of a header (RFC 9110 §5.1)")]
    Name(String),
    /// An origin that no browser sends.
    #[error("'{0}' is no origin (give scheme and host, as in https://app.example, or *)")]
    Origin(String),
    /// Brackets that don't close and the like.
    #[error("'{0}' is no pattern of paths: {1}")]
    Pattern(String, String),
    /// A control character in a value.
    #[error("control character in the value of {0} (RFC 9110 §5.5)")]
    Value(HeaderName),
}

impl Rules {
    /// What `user`, if the request has the password of one, may do under `path`, which has no slash
    /// at its start.
    #[must_use]
    pub fn access(&self, path: &[u8], user: Option<&str>) -> Access {
        let first = match (&self.users, user) {
            (Some(_), None) => Access::None,
            _ => Access::Write,
        };
        let matching = self
            .access
            .iter()
            .rev()
            .find(|rule| rule.who.includes(user) && rule.paths.contains(path));
        matching.map_or(first, |rule| rule.access)
    }

    /// Whether `user` may do under `path` what takes `needed`.
    #[must_use]
    pub fn judge(&self, path: &[u8], user: Option<&str>, needed: Access) -> Verdict {
        if self.access(path, user) >= needed {
            return Verdict::Granted;
        }
        match (&self.users, user) {
            (Some(users), None)
                if users.names().any(|name| self.access(path, Some(name)) >= needed) =>
            {
                Verdict::NeedsPassword
            }
            _ => Verdict::Forbidden,
        }
    }

    /// Whether everybody may do everything, so that nobody need be asked.
    #[must_use]
    pub fn grants_all(&self) -> bool {
        self.users.is_none() && self.access.is_empty()
    }

    /// The header lines for answers under `path`, of each header the last that matches.
    pub fn headers(&self, path: &[u8]) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let matching = move |rule: &HeaderRule| rule.paths.contains(path);
        self.headers.iter().enumerate().filter_map(move |(place, rule)| {
            let value = rule.value.as_ref().filter(|_| matching(rule))?;
            let later = self.headers.get(place + 1..).unwrap_or_default();
            let replaced = later.iter().any(|other| other.name == rule.name && matching(other));
            (!replaced).then_some((&rule.name, value))
        })
    }
}

impl Cors {
    /// Adds an origin; `*` is all of them.
    ///
    /// # Errors
    /// [`RuleError::Origin`].
    pub fn allow(&mut self, origin: &str) -> Result<(), RuleError> {
        if origin == "*" {
            *self = Cors::Any;
            return Ok(());
        }
        let wrong = || RuleError::Origin(origin.to_owned());
        let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
        };
        if !plain(scheme, b"+-.") || !plain(host, b"-._:[]") {
            return Err(wrong());
        }
        let origin = origin.to_ascii_lowercase();
        match self {
            Cors::Off => *self = Cors::Origins(vec![origin]),
            Cors::Any => {}
            Cors::Origins(origins) => origins.push(origin),
        }
        Ok(())
    }

    /// The value of Access-Control-Allow-Origin for a request with this Origin.
    #[must_use]
    pub fn allowed(&self, origin: Option<&[u8]>) -> Option<&str> {
        match self {
            Cors::Off => None,
            Cors::Any => Some("*"),
            Cors::Origins(origins) => {
                let asked = origin?;
                origins.iter().map(String::as_str).find(|origin| origin.as_bytes() == asked)
            }
        }
    }
}

impl Who {
    fn includes(&self, user: Option<&str>) -> bool {
        match self {
            Who::Anyone => true,
            Who::AnyUser => user.is_some(),
            Who::User(name) => user == Some(name),
        }
    }
}

impl FromStr for Who {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Who, Self::Err> {
        Ok(match text {
            "*" => Who::Anyone,
            "@" => Who::AnyUser,
            name => Who::User(name.to_owned()),
        })
    }
}

impl FromStr for Access {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Access, RuleError> {
        match text {
            "none" => Ok(Access::None),
            "read" => Ok(Access::Read),
            "write" => Ok(Access::Write),
            _ => Err(RuleError::Access(text.to_owned())),
        }
    }
}

impl HeaderRule {
    /// A rule for a header.
    ///
    /// # Errors
    /// [`RuleError`]: pattern, name or value is none, or the header is part of the framing. An empty
    /// value takes the header away.
    pub fn new(paths: &str, name: &str, value: &str) -> Result<HeaderRule, RuleError> {
        const FRAMING: [HeaderName; 8] = [
            CONNECTION,
            CONTENT_ENCODING,
            CONTENT_LENGTH,
            CONTENT_RANGE,
            DATE,
            TRAILER,
            TRANSFER_ENCODING,
            UPGRADE,
        ];
        let paths = paths.parse()?;
        let name: HeaderName = name.parse().map_err(|_| RuleError::Name(name.to_owned()))?;
        if FRAMING.contains(&name) {
            return Err(RuleError::Framing(name));
        }
        let value = match value {
            "" => None,
            value => match HeaderValue::from_bytes(value.as_bytes()) {
                Ok(value) => Some(value),
                Err(_) => return Err(RuleError::Value(name)),
            },
        };
        Ok(HeaderRule { paths, name, value })
    }

    /// A rule for Cache-Control, written `PATHS: VALUE`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn cache_control(text: &str) -> Result<HeaderRule, RuleError> {
        let (paths, value) = split(text, "PATHS: VALUE")?;
        HeaderRule::new(paths, CACHE_CONTROL.as_str(), value)
    }
}

/// `PATHS: Name: value`.
impl FromStr for HeaderRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<HeaderRule, RuleError> {
        const FORM: &str = "PATHS: Name: value";
        let (paths, rest) = split(text, FORM)?;
        let (name, value) =
            rest.split_once(':').ok_or_else(|| RuleError::Missing(text.to_owned(), FORM))?;
        HeaderRule::new(paths, name.trim(), value.trim())
    }
}

/// `PATHS: WHO: none|read|write`.
impl FromStr for AccessRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<AccessRule, RuleError> {
        const FORM: &str = "PATHS: WHO: none|read|write";
        let (paths, rest) = split(text, FORM)?;
        let (who, access) = split(rest, FORM)?;
        let Ok(who) = who.parse();
        Ok(AccessRule { paths: paths.parse()?, who, access: access.parse()? })
    }
}

/// The two sides of the first colon that a space follows, so that paths may hold others.
fn split<'t>(text: &'t str, form: &'static str) -> Result<(&'t str, &'t str), RuleError> {
    match text.split_once(": ") {
        Some((first, second)) if !first.trim().is_empty() => Ok((first.trim(), second.trim())),
        _ => Err(RuleError::Missing(text.to_owned(), form)),
    }
}

impl Paths {
    /// Whether a path, without a slash at its start, is one of them.
    #[must_use]
    pub fn contains(&self, path: &[u8]) -> bool {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let subject = if self.name_only {
            path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
        } else {
            path
        };
        let subject = OsStr::from_bytes(subject);
        self.matchers.iter().any(|matcher| matcher.is_match(subject))
    }
}

impl FromStr for Paths {
    type Err = RuleError;

    fn from_str(pattern: &str) -> Result<Paths, RuleError> {
        let compile = |glob: &str| {
            GlobBuilder::new(glob)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map(|glob| glob.compile_matcher())
                .map_err(|error| RuleError::Pattern(pattern.to_owned(), error.kind().to_string()))
        };
        let name_only = !pattern.contains('/');
        let beneath = pattern.strip_prefix('/').unwrap_or(pattern);
        let matchers = match beneath.strip_suffix('/') {
            // The root with all that is in it.
            None if beneath.is_empty() && !name_only => vec![compile("**")?],
            None => vec![compile(beneath)?],
            Some(folder) => vec![compile(folder)?, compile(&format!("{folder}/**"))?],
        };
        Ok(Paths { pattern: pattern.to_owned(), matchers, name_only })
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_about_names_paths_and_folders() {
        for (pattern, paths, others) in [
            ("*.html", &["a.html", "d/e/b.html"][..], &["a.htm", "a.html/b"][..]),
            ("/assets/*", &["assets/a"], &["assets/d/a", "x/assets/a", "assets"]),
            ("/assets/**", &["assets/a", "assets/d/a"], &["x/assets/a"]),
            ("/private/", &["private", "private/a", "private/d/a"], &["x/private", "privateer"]),
            ("/**/tmp/", &["tmp", "a/tmp/b", "tmp/b"], &["tmpfs"]),
            ("/", &["", "a", "a/b"], &[]),
            ("*", &["", "a", "a/b"], &[]),
            ("*.{js,css}", &["a.js", "d/a.css"], &["a.json"]),
            ("a:b", &["a:b"], &["a"]),
            ("\u{fc}?.txt", &["\u{fc}1.txt"], &["u1.txt"]),
        ] {
            let compiled: Paths = pattern.parse().expect(pattern);
            for path in paths {
                assert!(compiled.contains(path.as_bytes()), "{pattern} {path}");
            }
            for path in others {
                assert!(!compiled.contains(path.as_bytes()), "{pattern} {path}");
            }
        }
        assert!(Paths::from_str("*.raw").expect("a pattern").contains(b"d/\xff.raw"));
    }

    #[test]
    fn the_last_header_rule_that_matches_counts() {
        let rule = |text: &str| HeaderRule::from_str(text).expect(text);
        let rules = Rules {
            headers: vec![
                rule("/: Cache-Control: no-cache"),
                rule("/: X-Frame-Options: DENY"),
                HeaderRule::cache_control("/assets/**: max-age=31536000, immutable").expect("one"),
                rule("*.svg: x-frame-options:"),
            ],
            ..Rules::default()
        };
        let headers = |path: &str| {
            let of = rules.headers(path.as_bytes());
            of.map(|(name, value)| format!("{name}={}", value.to_str().expect("ASCII")))
                .collect::<Vec<_>>()
        };
        assert_eq!(headers("a"), ["cache-control=no-cache", "x-frame-options=DENY"]);
        assert_eq!(headers("assets/a.svg"), ["cache-control=max-age=31536000, immutable"]);
    }

    #[test]
    fn rules_that_make_no_sense_are_named() {
        for (text, error) in [
            ("*.html", "'*.html' lacks a part (give 'PATHS: Name: value')"),
            ("*.html: X", "'*.html: X' lacks a part (give 'PATHS: Name: value')"),
            (
                "*: Content-Length: 5",
                "content-length can't be set: it is part of how messages are sent",
            ),
            ("*: X Y: 5", "'X Y' is no name of a header (RFC 9110 §5.1)"),
            ("*: X: a\nb", "control character in the value of x (RFC 9110 §5.5)"),
        ] {
            assert_eq!(HeaderRule::from_str(text).expect_err(text).to_string(), error);
        }
        assert!(matches!("[a: X: y".parse::<HeaderRule>(), Err(RuleError::Pattern(..))));
        let wrong = "/a: *: all".parse::<AccessRule>().expect_err("no access");
        assert_eq!(wrong.to_string(), "'all' is no access (give none, read or write)");
    }

    #[test]
    fn origins_are_compared_whole() {
        let mut cors = Cors::default();
        assert_eq!(cors.allowed(Some(b"https://a.example")), None);
        cors.allow("https://A.example").expect("an origin");
        cors.allow("http://localhost:5173").expect("an origin");
        assert_eq!(cors.allowed(Some(b"https://a.example")), Some("https://a.example"));
        assert_eq!(cors.allowed(Some(b"http://localhost:5173")), Some("http://localhost:5173"));
        for other in
            [Some(&b"https://a.example.evil"[..]), Some(b"http://a.example"), Some(b"null"), None]
        {
            assert_eq!(cors.allowed(other), None);
        }
        for wrong in ["a.example", "https://", "https://a/b", "https://a\r\n", ""] {
            assert!(cors.allow(wrong).is_err(), "{wrong}");
        }
        cors.allow("*").expect("all");
        assert_eq!(cors.allowed(None), Some("*"));
    }

    #[test]
    fn who_may_what_follows_from_users_and_the_last_rule() {
        // A hash of "secret" with few rounds; passwords are not looked at here.
        let users = Users::from_htpasswd(
            "ann:$2b$04$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW\n\
             bob:$2b$04$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW\n",
        );
        let users = Some(Arc::new(users.expect("two users")));
        let rule = |text: &str| text.parse::<AccessRule>().expect(text);
        let access = vec![
            rule("/public/: *: read"),
            rule("/: @: read"),
            rule("/incoming/: bob: write"),
            rule("/secret/: *: none"),
            rule("/secret/: ann: read"),
        ];
        let rules = Rules { access, users, ..Rules::default() };
        let judge = |path: &str, user, needed| rules.judge(path.as_bytes(), user, needed);
        for (path, user, needed, verdict) in [
            ("public/a", None, Access::Read, Verdict::Granted),
            ("public/a", None, Access::Write, Verdict::Forbidden),
            ("a", None, Access::Read, Verdict::NeedsPassword),
            ("a", Some("ann"), Access::Read, Verdict::Granted),
            ("a", Some("ann"), Access::Write, Verdict::Forbidden),
            ("incoming/a", None, Access::Write, Verdict::NeedsPassword),
            ("incoming/a", Some("ann"), Access::Write, Verdict::Forbidden),
            ("incoming/a", Some("bob"), Access::Write, Verdict::Granted),
            ("secret/a", Some("bob"), Access::Read, Verdict::Forbidden),
            ("secret/a", Some("ann"), Access::Read, Verdict::Granted),
            ("secret", None, Access::Read, Verdict::NeedsPassword),
        ] {
            assert_eq!(judge(path, user, needed), verdict, "{path} {user:?} {needed:?}");
        }
        assert!(Rules::default().grants_all() && !rules.grants_all());
        let open = Rules { users: None, access: vec![rule("/.git/: *: none")], ..Rules::default() };
        assert_eq!(open.judge(b".git/config", None, Access::Read), Verdict::Forbidden);
        assert_eq!(open.judge(b"a", None, Access::Write), Verdict::Granted);
    }
}
