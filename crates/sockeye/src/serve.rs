//! `sockeye serve`: a folder over HTTP.

mod lan;
mod log;
mod notify;
mod restart;
mod sockets;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockeye_engine::{Address, Bound, DriverKind, Notice, ServeOptions, Serving, tell_predecessor};
use sockeye_services::guard::Rate;
use sockeye_services::http::{
    AddressLimits, Admin, Ledger, Limit, Site, SiteNotice, SiteOptions, UploadOptions,
};
use sockeye_wire::escape::Escaped;

use crate::args;
use crate::eye;
use crate::output::{self, say};
use crate::signals;

pub(crate) fn run(args: &args::Serve) -> anyhow::Result<ExitCode> {
    let mut limits = SiteOptions::default().limits;
    limits.head_bytes = args.operate.max_head;
    limits.target_bytes = args.operate.max_target;
    limits.headers = args.operate.max_headers.into();
    let options = SiteOptions {
        limits,
        idle: args.idle_timeout,
        head: args.head_timeout,
        body: args.body_timeout,
        write: args.write_timeout,
        total: args.total_timeout,
        addresses: Some(address_limits(&args.operate)),
        files: args.files.options()?,
        rules: args.files.rules()?,
        trace: args.trace,
        upload: uploads(&args.write)?,
        listing: args.listing.options(),
        inspect: args.inspect,
        ..SiteOptions::default()
    };
    if args.operate.check_config {
        // Nothing is written or removed yet.
        open(args, &SiteOptions { upload: None, ..options })?;
        output::page(args.operate.effective.as_deref().unwrap_or_default().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut given = sockets::Given::take()?;
    let book = log::open(args, given.has_admin())?;
    let options = SiteOptions { ledger: book.ledger.clone(), ..options };
    let site = Arc::new(open(args, &options)?);
    let engine = engine_options(&args.engine, book.ledger.clone());
    let mut bound = given.site(args, engine.clone())?;
    let admin = given.admin(args, of_admin(engine))?;
    let eye = eye::open(&args.eye, bound.addresses())?;
    if let Some(eye) = &eye {
        bound.set_probe(eye.source());
    }
    let (addresses, ips) = (bound.locals().to_vec(), bound.addresses().to_vec());
    // From now on signals are ours, so that one which comes early is not lost.
    let signals = signals::watch().context("signals can't be caught")?;
    let sockets = restart::Sockets::default();
    sockets.keep(restart::Passed {
        site: bound.handover().context("descriptors")?,
        admin: admin.as_ref().map(Bound::handover).transpose().context("descriptors")?,
    });
    let writer = book.writer.map(Arc::new);
    restart::obey(restart::Operated {
        stays: stays(args),
        log: writer.clone(),
        site: Arc::clone(&site),
        sockets: sockets.clone(),
        stop: signals.stopper().context("signals can't be caught")?,
    })?;
    let admin = match (admin, book.ledger) {
        (Some(bound), Some(ledger)) => Some(Looked::after(bound, ledger)?),
        _ => None,
    };
    let ready = || {
        for address in &addresses {
            let dir = Shown(&args.dir);
            let does = if args.inspect {
                "inspecting requests".to_owned()
            } else {
                format!("serving {dir}")
            };
            // Whoever started us may have closed the pipe; the server is there all the same.
            let _ = match address {
                Address::Ip(address) => output::result(format_args!("{does} on http://{address}/")),
                Address::Unix(name) => output::result(format_args!("{does} on {name}")),
            };
        }
        if let Some(admin) = &admin {
            say(format_args!("sockeye: metrics and health on {}", admin.place));
        }
        if args.lan {
            lan::invite(&ips);
        }
        notify::ready();
        tell_predecessor();
        if let Some(eye) = &eye {
            let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            eye.show(&names.join(", "));
        }
    };
    let stopping = |connections| {
        let is_succeeded = sockets.close();
        if let Some(admin) = &admin {
            admin.stopping(is_succeeded);
        }
        if !is_succeeded {
            notify::stopping();
        }
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
    if let Some(admin) = admin {
        admin.close();
    }
    if let Some(eye) = eye {
        eye.close();
    }
    if let Some(writer) = writer {
        writer.close();
    }
    if cut_off > 0 {
        say(format_args!("sockeye: {} cut off after --grace", Connections(cut_off, "was", "were")));
    }
    Ok(ExitCode::SUCCESS)
}

/// What clients may change.
fn uploads(args: &args::Write) -> anyhow::Result<Option<UploadOptions>> {
    let Some(how) = args.write else { return Ok(None) };
    let overwrite = how == args::How::Overwrite;
    anyhow::ensure!(
        overwrite || !args.delete_folders,
        "--delete-folders: nothing is removed here; add --write=overwrite"
    );
    Ok(Some(UploadOptions {
        overwrite,
        remove_folders: args.delete_folders,
        most: args.max_upload,
        quota: args.quota,
        pause: args.upload_timeout,
        rate: args.upload_rate,
        keep: args.upload_expires,
    }))
}

/// The folder, and those of other hosts.
fn open(args: &args::Serve, options: &SiteOptions) -> anyhow::Result<Site> {
    // With --inspect nothing of a folder is served, so any that is always there will do.
    let dir = if args.inspect { Path::new("/") } else { &args.dir };
    let mut site = Site::open(dir, options.clone(), say_of_site)?;
    for host in &args.files.host {
        let other = Site::open(&host.dir, options.clone(), say_of_site);
        site.add_host(&host.name, other.with_context(|| format!("--host {}", host.name))?);
    }
    Ok(site)
}

/// What one address may do. What was said outright holds for this machine's own addresses, too.
fn address_limits(args: &args::Operate) -> AddressLimits {
    let default = AddressLimits::default();
    let requests = args.address_rate.and_then(|most| most.0);
    AddressLimits {
        connections: args.address_connections.map_or(default.connections, |most| most.0),
        requests: requests.map(|most| Rate::of(most.into())),
        spares_loopback: args.address_connections.is_none(),
    }
}

/// Why no other process could take over.
fn stays(args: &args::Serve) -> Option<&'static str> {
    if std::process::id() == 1 {
        return Some("this is process 1, and its end would end the others");
    }
    if args.eye.does(args::What::Live) {
        return Some("--eye=live has the terminal");
    }
    (args.eye.record.is_some() || args.eye.pcap.is_some())
        .then_some("the new process would overwrite what --record and --pcap write")
}

/// The server for whoever looks after this one.
struct Looked {
    admin: Arc<Admin>,
    serving: Serving,
    place: String,
}

impl Looked {
    fn after(bound: Bound, ledger: Arc<Ledger>) -> anyhow::Result<Looked> {
        let place: Vec<String> = bound.locals().iter().map(ToString::to_string).collect();
        let admin = Arc::new(Admin::new(ledger));
        let serves = Arc::clone(&admin);
        let serving = bound.start(move |stream| Arc::clone(&serves).serve(stream));
        Ok(Looked { admin, serving: serving.context("--admin")?, place: place.join(", ") })
    }

    /// The site stops. Until it has ended this goes on saying so, unless a successor is to be heard.
    fn stopping(&self, is_succeeded: bool) {
        self.admin.stopping();
        if is_succeeded {
            self.serving.stop();
        }
    }

    fn close(self) {
        self.serving.stop();
        self.serving.join();
    }
}

/// How whoever looks after the server is served: by one thread, beside those of the site.
fn of_admin(site: ServeOptions) -> ServeOptions {
    ServeOptions {
        driver: DriverKind::Epoll,
        threads: Some(1),
        max_connections: 256,
        grace: std::time::Duration::from_secs(1),
        ..site
    }
}

fn engine_options(args: &args::Engine, ledger: Option<Arc<Ledger>>) -> ServeOptions {
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
        notice: Arc::new(move |notice| {
            if let (Notice::Full { .. }, Some(ledger)) = (&notice, &ledger) {
                ledger.hit(Limit::Full);
            }
            say_of_engine(notice);
        }),
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
