//! `sockeye serve`: a folder over HTTP.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockeye_engine::{Address, Bound, DriverKind, Endpoint, Notice, ServeOptions};
use sockeye_services::http::{Site, SiteNotice, SiteOptions};
use sockeye_wire::escape::Escaped;

use crate::args;
use crate::eye;
use crate::output::{self, say};
use crate::signals;

const DEFAULT_PORT: u16 = 8000;

pub(crate) fn run(args: &args::Serve) -> anyhow::Result<ExitCode> {
    let options = SiteOptions {
        idle: args.idle_timeout,
        head: args.head_timeout,
        body: args.body_timeout,
        write: args.write_timeout,
        files: args.files.options()?,
        rules: args.files.rules()?,
        trace: args.trace,
        ..SiteOptions::default()
    };
    let mut site = Site::open(&args.dir, options.clone(), say_of_site)?;
    for host in &args.files.host {
        let other = Site::open(&host.dir, options.clone(), say_of_site);
        site.add_host(&host.name, other.with_context(|| format!("--host {}", host.name))?);
    }
    let site = Arc::new(site);
    let endpoints = match (&args.listen[..], args.port) {
        ([], port) => {
            vec![Endpoint::tcp([127, 0, 0, 1].into(), port.unwrap_or(DEFAULT_PORT))]
        }
        (given, _) => given.to_vec(),
    };
    let mut bound = Bound::listen(&endpoints, engine_options(&args.engine))?;
    let eye = eye::open(&args.eye, bound.addresses())?;
    if let Some(eye) = &eye {
        bound.set_probe(eye.source());
    }
    let addresses = bound.locals().to_vec();
    // From now on signals are ours, so that one which comes early is not lost.
    let signals = signals::watch().context("signals can't be caught")?;
    let ready = || {
        for address in &addresses {
            let dir = Shown(&args.dir);
            // Whoever started us may have closed the pipe; the server is there all the same.
            let _ = match address {
                Address::Ip(address) => {
                    output::result(format_args!("serving {dir} on http://{address}/"))
                }
                Address::Unix(name) => output::result(format_args!("serving {dir} on {name}")),
            };
        }
        if let Some(eye) = &eye {
            let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            eye.show(&names.join(", "));
        }
    };
    let stopping = |connections| {
        if connections > 0 {
            say(format_args!(
                "sockeye: stopping; {} open (again to stop at once)",
                Connections(connections, "is", "are")
            ));
        }
    };
    let cut_off = bound
        .run(move |stream| Arc::clone(&site).serve(stream), signals.told, ready, stopping)
        .with_context(|| format!("--driver {}", args.engine.driver))?;
    if let Some(eye) = eye {
        eye.close();
    }
    if cut_off > 0 {
        say(format_args!("sockeye: {} cut off after --grace", Connections(cut_off, "was", "were")));
    }
    Ok(ExitCode::SUCCESS)
}

fn engine_options(args: &args::Engine) -> ServeOptions {
    let most = most_connections(args.driver);
    let asked = args.max_connections.map(|asked| asked as usize);
    if let Some(asked) = asked.filter(|asked| *asked > most) {
        say(format_args!(
            "sockeye: --max-connections {asked}: the process may have descriptors for about {most} (see: ulimit -n)"
        ));
    }
    ServeOptions {
        driver: args.driver,
        threads: args.threads.map(usize::from),
        max_connections: asked.unwrap_or(most),
        grace: args.grace,
        probe: None,
        notice: Arc::new(say_of_engine),
    }
}

/// Raises the limit on descriptors as far as it goes, and leaves a fifth for files.
pub(crate) fn most_connections(driver: DriverKind) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let descriptors = usize::try_from(reached.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    // A thread that serves one connection alone has a descriptor to be woken by.
    let each = if driver.multiplexes() { 1 } else { 2 };
    ((descriptors / 5).saturating_mul(4) / each).max(1)
}

fn say_of_engine(notice: Notice) {
    match notice {
        Notice::Full { connections } => say(format_args!(
            "sockeye: {} open, as many as may be (--max-connections); others wait",
            Connections(connections, "is", "are")
        )),
        Notice::Accept(error) => {
            say(format_args!("sockeye: {error}; going on (out of descriptors? see: ulimit -n)"))
        }
    }
}

fn say_of_site(notice: SiteNotice) {
    match notice {
        SiteNotice::Vanished(path) => say(format_args!(
            "sockeye: {}: the folder is gone; answering 503 until it is back",
            Shown(&path)
        )),
        SiteNotice::Returned(path) => {
            say(format_args!("sockeye: {}: the folder is back", Shown(&path)));
        }
    }
}

/// So many connections, with the verb for one and the verb for more.
struct Connections(usize, &'static str, &'static str);

impl std::fmt::Display for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Connections(1, one, _) => write!(f, "1 connection {one}"),
            Connections(count, _, more) => write!(f, "{count} connections {more}"),
        }
    }
}

/// A path as the user gave it, with nothing that could upset a terminal.
struct Shown<'a>(&'a Path);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.0.to_string_lossy();
        Escaped(shown.as_bytes()).fmt(f)
    }
}
