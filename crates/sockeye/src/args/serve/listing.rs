//! How `sockeye serve` shows folders.

use std::num::NonZeroUsize;

use sockeye_services::http::listing::Options;

/// How folders are shown
#[derive(clap::Args)]
pub(crate) struct Listing {
    /// Answer 404 for a folder that has no index file, instead of listing it
    #[arg(long)]
    no_listing: bool,

    /// Let folders be downloaded whole: /folder/?archive=zip, tar.gz or tar.zst
    ///
    /// Off by default: whoever may ask can have the server read and pack all that is beneath.
    #[arg(long)]
    archive: bool,

    /// Archives that may be made at once; more are answered with 503
    #[arg(long, value_name = "N", default_value = "4")]
    max_archives: NonZeroUsize,
}

impl Listing {
    /// The same for the site.
    pub(crate) fn options(&self) -> Options {
        Options {
            listed: !self.no_listing,
            archives: self.archive,
            most_archives: self.max_archives.get(),
        }
    }
}
