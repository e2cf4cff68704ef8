//! nginx as a peer: one worker, no log unless asked for, kept-alive connections without end, its own
//! directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::child::Process;
use crate::machine;

/// How nginx answers.
#[derive(Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// Files below this directory, by sendfile(2), with the open files cached.
    Files(&'a Path),
    /// Every target with this text from its configuration: what nginx does with no file at all.
    Text(&'a str),
    /// Files below a directory, with more besides.
    Site(&'a Site),
}

/// What nginx serves, and how, where that is more than files.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    /// Directives of its server block.
    pub(crate) directives: &'static str,
    /// How the access log is written, if there is one: what follows its path and `combined`.
    pub(crate) log: Option<&'static str>,
}

/// A running nginx; its directory goes with it.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

/// Where nginx is installed.
pub(crate) fn find() -> Option<PathBuf> {
    machine::find_program("nginx")
}

/// Starts nginx on `core`, on a free port of 127.0.0.1.
pub(crate) fn start(answer: Answer<'_>, core: usize) -> anyhow::Result<Nginx> {
    let program = find().context("not installed")?;
    let directory = tempfile::tempdir().context("temporary directory")?;
    // nginx can't be asked which port it was given, so a free one is looked up and handed over.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let configuration = directory.path().join("nginx.conf");
    fs::write(&configuration, configure(answer, address, directory.path())?)?;
    let errors = directory.path().join("error.log");
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(directory.path())
        .arg("-e")
        .arg(&errors)
        .arg("-c")
        .arg(&configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(directory.path().join("stderr"))?);
    let mut process = Process::spawn(command, core)?;
    wait_until_it_listens(&mut process, address)
        .with_context(|| fs::read_to_string(&errors).unwrap_or_default().trim().to_owned())?;
    Ok(Nginx { process, address, directory })
}

fn wait_until_it_listens(process: &mut Process, address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if let Some(status) = process.wait(Duration::from_millis(5))? {
            bail!("nginx ended: {status}");
        }
    }
    bail!("nginx does not listen on {address}")
}

fn configure(answer: Answer<'_>, address: SocketAddr, home: &Path) -> anyhow::Result<String> {
    let home = plain(home)?;
    // As root the worker must be able to read our directory; as anyone else nginx ignores it.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let location = match answer {
        Answer::Files(directory) => format!("root {};", plain(directory)?),
        Answer::Text(text) => format!("location / {{ return 200 \"{text}\"; }}"),
        Answer::Site(site) => format!("root {};\n        {}", plain(&site.root)?, site.directives),
    };
    let log = match answer {
        Answer::Site(Site { log: Some(options), .. }) => {
            format!("{home}/access.log combined {options}")
        }
        _ => "off".to_owned(),
    };
    Ok(format!(
        "{user}
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log crit;
events {{ use epoll; worker_connections 19500; }}
http {{
    access_log {log};
    types {{ text/html html; text/plain txt; application/json json; }}
    default_type application/octet-stream;
    sendfile on;
    open_file_cache max=1000 inactive=60s;
    open_file_cache_valid 60s;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {address} backlog=4096;
        {location}
    }}
}}
"
    ))
}

/// A path that can stand in the configuration as it is.
fn plain(path: &Path) -> anyhow::Result<&str> {
    let text = path.to_str().context("temporary directory: not UTF-8")?;
    if text.contains(|c: char| c.is_whitespace() || ";{}\"'\\$#".contains(c)) {
        bail!("{text}: nginx would misread this path; set TMPDIR to a plainer one");
    }
    Ok(text)
}
