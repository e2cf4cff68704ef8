//! What is served as what, and who gets it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use sockeye_services::http::files::{Options, Symlinks};
use sockeye_services::http::{AccessRule, Cors, HeaderRule, Rules, Users, compress};

use crate::args::talk::size;

/// What is served as what, and who gets it.
#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
pub(crate) struct Files {
    /// Name of the file that stands for its folder; given several times, the first that is there
    #[arg(long, value_name = "NAME", default_value = "index.html")]
    index: Vec<String>,

    /// Answer with FILE, beneath the folder, where nothing else is, for applications with one page;
    /// a path whose last name has a dot in it stays 404
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "index.html")]
    spa: Option<String>,

    /// Send FILE, beneath the folder, with an error; given several times
    #[arg(long, value_name = "STATUS=FILE")]
    error_page: Vec<String>,

    /// Charset that text is said to have; none says nothing
    #[arg(long, value_name = "CHARSET", default_value = "utf-8", value_parser = charset)]
    charset: String,

    /// Serve and list names that begin with a dot, which otherwise are not there (.well-known is)
    #[arg(long)]
    hidden: bool,

    /// Follow symbolic links: as long as they stay beneath the folder, wherever they lead, or never
    #[arg(long, value_name = "beneath|follow|never", default_value = "beneath")]
    symlinks: Symlinks,

    /// Never send FILE.br, FILE.zst or FILE.gz in the place of a text FILE
    #[arg(long)]
    no_precompressed: bool,

    /// Never compress text while it is sent
    #[arg(long)]
    no_compress: bool,

    /// Compress no smaller files
    #[arg(long, value_name = "SIZE", default_value = "1k", value_parser = size)]
    compress_min: usize,

    /// Compress no larger files
    #[arg(long, value_name = "SIZE", default_value = "32m", value_parser = size)]
    compress_max: usize,

    /// Send a header with answers under PATHS: *.html (names), /assets/** (paths) or /docs/ (a folder
    /// with all in it); of several for one header the last that matches, and an empty VALUE takes it away
    #[arg(long, value_name = "PATHS: NAME: VALUE")]
    header: Vec<HeaderRule>,

    /// Short for --header 'PATHS: Cache-Control: VALUE'
    #[arg(long, value_name = "PATHS: VALUE", value_parser = HeaderRule::cache_control)]
    cache: Vec<HeaderRule>,

    /// Let pages of ORIGIN (https://app.example) read answers, also with credentials; * for all pages,
    /// without. Given several times
    #[allow(rustdoc::bare_urls, reason = "the help shows it as it stands")]
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "*")]
    cors: Vec<String>,

    /// Let nobody in without a password of FILE, made by htpasswd -B (bcrypt) or with Argon2 hashes. Passwords
    /// travel readable: bind to 127.0.0.1 behind a TLS proxy
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,

    /// What WHO (a user, @ any user, * anyone) may do under PATHS: none, read or write; of several the
    /// last that matches. Without one, all that everybody who gets in may do
    #[arg(long, value_name = "PATHS: WHO: ACCESS")]
    access: Vec<AccessRule>,

    /// Serve another folder to those who ask for this host; given several times
    #[arg(long, value_name = "NAME=DIR", value_parser = host)]
    pub(crate) host: Vec<Host>,
}

/// A virtual host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

impl Files {
    /// How files are served.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options {
            index: self.index.clone(),
            fallback: self.spa.as_deref().map(|file| file.trim_start_matches('/').to_owned()),
            charset: (self.charset != "none").then(|| self.charset.clone()),
            hidden: self.hidden,
            symlinks: self.symlinks,
            precompressed: !self.no_precompressed,
            compress: (!self.no_compress).then_some(compress::Options {
                min: self.compress_min as u64,
                max: self.compress_max as u64,
            }),
            ..Options::default()
        };
        for page in &self.error_page {
            options.error_page(page).context("--error-page")?;
        }
        Ok(options)
    }

    /// What is said and allowed by path.
    pub(crate) fn rules(&self) -> anyhow::Result<Rules> {
        let mut cors = Cors::default();
        for origin in &self.cors {
            cors.allow(origin).context("--cors")?;
        }
        let users = match &self.auth {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("--auth {}", file.display()))?;
                let users = Users::from_htpasswd(&text);
                Some(Arc::new(users.with_context(|| format!("--auth {}", file.display()))?))
            }
        };
        let headers = self.header.iter().chain(&self.cache).cloned().collect();
        Ok(Rules { headers, cors, access: self.access.clone(), users })
    }
}

fn charset(text: &str) -> Result<String, &'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err("no name of a charset (give utf-8, iso-8859-1 or none)");
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<Host, &'static str> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() && !name.contains(['/', ' ']) => {
            Ok(Host { name: name.to_owned(), dir: dir.into() })
        }
        _ => Err("not NAME=DIR (give docs.example=./docs)"),
    }
}
