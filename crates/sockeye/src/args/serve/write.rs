//! What clients may change.

use std::time::Duration;

use crate::args::duration;

/// Flags of uploads.
#[derive(clap::Args)]
#[command(next_help_heading = "Uploads")]
pub(crate) struct Write {
    /// Let clients add files (PUT, forms, tus) and folders (MKCOL); with =overwrite also replace and
    /// DELETE them
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "new")]
    pub(crate) write: Option<How>,

    /// The longest upload that is taken [default: as much as the disk has room for]
    #[arg(long, value_name = "SIZE", requires = "write", value_parser = bytes)]
    pub(crate) max_upload: Option<u64>,

    /// How much all files in the folder may take together [default: as much as the disk has room for]
    #[arg(long, value_name = "SIZE", requires = "write", value_parser = bytes)]
    pub(crate) quota: Option<u64>,

    /// How long an upload may bring nothing, and how long it has before it must keep up with
    /// --upload-rate
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) upload_timeout: Duration,

    /// Bytes a second that an upload must reach over all
    #[arg(long, value_name = "SIZE", default_value = "512", value_parser = bytes)]
    pub(crate) upload_rate: u64,

    /// How long an upload that was not finished can be resumed
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) upload_expires: Duration,

    /// Let DELETE remove folders with all that is in them; needs --write=overwrite
    #[arg(long, requires = "write")]
    pub(crate) delete_folders: bool,
}

/// How far writing goes.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum How {
    /// What is there stays as it is
    New,
    /// What is there may be replaced and removed
    Overwrite,
}

/// A number of bytes: `4096`, `64k`, `16m`, `2g` or `1t`, in powers of 1,024.
fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(name, _)| lower.ends_with(*name));
    let (digits, shift) = match unit {
        Some((name, shift)) => (lower.strip_suffix(*name).unwrap_or(&lower), *shift),
        None => (&*lower, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse::<u64>().ok().filter(|_| plain);
    match count.and_then(|count| count.checked_mul(1 << shift)) {
        Some(0) => Err("more than nothing is needed".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("write it as 4096, 64k, 16m or 2g".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_up_to_what_64_bits_hold() {
        for (text, expected) in [
            ("1", Some(1)),
            ("64k", Some(64 << 10)),
            ("2G", Some(2 << 30)),
            ("1t", Some(1 << 40)),
            ("16777215t", Some(16_777_215 << 40)),
            ("16777216t", None),
            ("0", None),
            ("", None),
            ("k", None),
            ("1kk", None),
            ("-1", None),
            ("+1", None),
            ("1.5g", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}
