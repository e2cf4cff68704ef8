//! A request that is more than a plain GET: sent by wrk as its load, and once by ourselves to see
//! that the answer is the one that is meant.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longer than any server on loopback takes, shorter than a run that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names an upload goes to in turn, so that no two connections write one file at once.
const NAMES: u32 = 16;

/// What is asked of a server besides its target.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Bytes of content; with any, the target is the beginning of a name with a number behind it.
    pub(crate) content: usize,
}

/// A whole response, its transfer coding taken off.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
}

impl Request {
    /// A GET with these header lines.
    pub(crate) fn get(headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { method: "GET", headers, content: 0 }
    }

    /// A PUT of so many bytes.
    pub(crate) fn put(content: usize) -> Self {
        Self { method: "PUT", headers: Vec::new(), content }
    }

    /// What tells wrk to send it, in Lua. What has no content is written once and sent as it is.
    pub(crate) fn script(&self) -> String {
        let mut lua = format!("wrk.method = \"{}\"\n", self.method);
        for (name, value) in &self.headers {
            // A writer into a string never fails.
            let _ = writeln!(lua, "wrk.headers[\"{name}\"] = [==[{value}]==]");
        }
        if self.content > 0 {
            let _ = write!(
                lua,
                "local requests, turn = {{}}, 0
init = function()
  local content = string.rep(\"x\", {})
  for i = 1, {NAMES} do requests[i] = wrk.format(nil, wrk.path .. i, nil, content) end
end
request = function()
  turn = turn % {NAMES} + 1
  return requests[turn]
end
",
                self.content
            );
        }
        lua
    }

    /// Sends it once, on a connection of its own, and reads the whole answer.
    pub(crate) fn ask(&self, server: SocketAddr, target: &str) -> anyhow::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)
            .with_context(|| format!("{server}: connect"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let number = if self.content > 0 { "1" } else { "" };
        let mut head = format!("{} {target}{number} HTTP/1.1\r\nHost: {server}\r\n", self.method);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.content > 0 {
            let _ = write!(head, "Content-Length: {}\r\n", self.content);
        }
        head.push_str("Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).context("sending the request")?;
        stream.write_all(&vec![b'x'; self.content]).context("sending the content")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).context("reading the answer")?;
        Answer::read(&bytes).with_context(|| format!("{} {target} of {server}", self.method))
    }
}

impl Answer {
    /// All that came until the server closed.
    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.context("closed before the end of the head")?;
        let head = std::str::from_utf8(&bytes[..end]).context("head")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.context("status line")?.parse().context("status")?;
        let lines = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> = lines
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let content = bytes[end + 4..].to_vec();
        let mut answer = Self { status, headers, content };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.content = joined(&answer.content).context("chunks (RFC 9112 §7.1)")?;
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().context("Content-Length")?;
            if answer.status != 304 && answer.content.len() != length {
                bail!("{} bytes of content, not {length}", answer.content.len());
            }
        }
        Ok(answer)
    }

    /// The first value of this header, whose name is given in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The content of chunks, up to the last one; None if it is cut or malformed.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        let rest = chunks.get(end + 2..)?;
        content.extend_from_slice(rest.get(..size)?);
        chunks = rest.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_all_that_wrk_is_to_send() {
        let script = Request::get(&[("If-None-Match", "W/\"a]b\"")]).script();
        assert!(script.contains("wrk.headers[\"If-None-Match\"] = [==[W/\"a]b\"]==]"), "{script}");
        assert!(!script.contains("request ="), "static: {script}");
        let script = Request::put(1000).script();
        assert!(script.contains("wrk.method = \"PUT\"") && script.contains("\"x\", 1000"));
    }

    #[test]
    fn an_answer_is_read_with_and_without_chunks() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                        3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n";
        let answer = Answer::read(chunked).expect("whole");
        assert_eq!((answer.status, &answer.content[..]), (200, &b"abc0123456789"[..]));
        let plain = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\nETag: \"x\"\r\n\r\nab";
        let answer = Answer::read(plain).expect("whole");
        assert_eq!((answer.status, answer.header("etag")), (206, Some("\"x\"")));
        let kept = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(Answer::read(kept).expect("no content").status, 304);
    }

    #[test]
    fn an_answer_that_is_cut_is_refused() {
        for cut in [
            &b"HTTP/1.1 200 OK\r\nContent-Le"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n",
        ] {
            Answer::read(cut).expect_err(&String::from_utf8_lossy(cut));
        }
    }
}
