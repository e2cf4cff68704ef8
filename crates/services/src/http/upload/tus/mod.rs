//! Uploads that can be resumed: tus 1.0.0 with the extensions creation, creation-with-upload,
//! termination, checksum and expiration (<https://tus.io/protocols/resumable-upload>).
//!
//! An upload is created by a POST to the folder, or to the file that is to be, and then named by
//! `FOLDER/?upload=ID`. What is known of it lies beside its place, so it survives this process.

mod append;
mod checksum;
mod metadata;
mod state;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sockeye_http::{ImfFixdate, Method, StatusCode};

use super::super::intake::Intake;
use super::super::reply::Reply;
use super::draft::standing;
use super::names::{Id, Place};
use super::put::may_stand;
use super::refusal::Refusal;
use super::{Options, Upload, open_folder, too_long, value};
use metadata::Metadata;
use state::{Info, Resumable};

pub(super) const RESUMABLE: &str = "tus-resumable";
pub(super) const CONTENT_TYPE: &str = "application/offset+octet-stream";

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,creation-with-upload,termination,checksum,expiration";

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");

/// Uploads that ended well and are remembered: a client that did not hear of it asks again.
const REMEMBERED: usize = 1024;

/// The last uploads that ended well, with their lengths.
#[derive(Default)]
pub(super) struct Finished(Mutex<VecDeque<(Id, u64)>>);

impl Finished {
    fn remember(&self, id: Id, length: u64) {
        let mut finished = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        finished.truncate(REMEMBERED - 1);
        finished.push_front((id, length));
    }

    fn length(&self, id: Id) -> Option<u64> {
        let finished = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        finished.iter().find(|(other, _)| *other == id).map(|(_, length)| *length)
    }
}

pub(super) fn capabilities(options: &Options) -> Vec<(HeaderName, HeaderValue)> {
    let mut lines = vec![
        (HeaderName::from_static(RESUMABLE), HeaderValue::from_static(VERSION)),
        (TUS_VERSION, HeaderValue::from_static(VERSION)),
        (HeaderName::from_static("tus-extension"), HeaderValue::from_static(EXTENSIONS)),
        (
            HeaderName::from_static("tus-checksum-algorithm"),
            HeaderValue::from_static(checksum::ALGORITHMS),
        ),
    ];
    if let Some(most) = options.most {
        lines.push((HeaderName::from_static("tus-max-size"), HeaderValue::from(most)));
    }
    lines
}

/// Every answer says the version.
pub(super) fn versioned(reply: Reply) -> Reply {
    reply.header(HeaderName::from_static(RESUMABLE), HeaderValue::from_static(VERSION))
}

pub(super) async fn run(upload: &Upload, intake: &mut Intake<'_>) -> Result<Reply, Refusal> {
    let headers = &upload.asked.headers;
    if headers.get(RESUMABLE).is_none_or(|version| version != VERSION) {
        let detail = "this server speaks version 1.0.0 of tus";
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, detail)
            .with(TUS_VERSION, HeaderValue::from_static(VERSION)));
    }
    let named = upload.asked.query.as_deref().and_then(id_of);
    // For clients that can't send what they mean.
    let method = match headers.get("x-http-method-override") {
        Some(meant) if upload.asked.method == Method::POST => {
            Method::from_bytes(meant.as_bytes()).unwrap_or(Method::POST)
        }
        _ => upload.asked.method.clone(),
    };
    match (method, named) {
        (Method::POST, None) => create(upload, intake).await,
        (Method::HEAD, Some(id)) => tell(upload, id).await,
        (Method::PATCH, Some(id)) => append::run(upload, intake, id).await,
        (Method::DELETE, Some(id)) => terminate(upload, id).await,
        _ => Err(unknown_upload()),
    }
}

/// The upload that a query names.
fn id_of(query: &str) -> Option<Id> {
    let id = query.split('&').find_map(|part| part.strip_prefix("upload="))?;
    Id::parse(id.as_bytes())
}

fn unknown_upload() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such upload (it may have expired)")
}

/// Begins an upload, with its first bytes if they come along.
async fn create(upload: &Upload, intake: &mut Intake<'_>) -> Result<Reply, Refusal> {
    let headers = &upload.asked.headers;
    let bad = |detail: &'static str| Refusal::new(StatusCode::BAD_REQUEST, detail);
    if headers.contains_key("upload-concat") || headers.contains_key("upload-defer-length") {
        return Err(bad("uploads of parts, or of a length not known yet, are not supported"));
    }
    let length = number(headers, &LENGTH)?.ok_or_else(|| bad("Upload-Length is missing"))?;
    if upload.uploads().options.most.is_some_and(|most| length > most) {
        return Err(too_long());
    }
    let metadata = Metadata::of(headers)?;
    let path = upload.path()?;
    let place = if path.has_trailing_slash() {
        let name = metadata.file_name().ok_or_else(|| {
            bad("Upload-Metadata has no filename; without one, name the file in the URL")
        })?;
        Place::within(path.as_bytes(), name)?
    } else {
        Place::of(&path).ok_or_else(unknown_upload)??
    };
    upload.may_change(&place)?;
    let brings = intake.length() != Some(0);
    if brings {
        append::right_type(headers)?;
    }
    let expected = checksum::Expected::of(headers)?;
    let info = Info::new(length, &place.name, metadata.text());
    let to = place.clone();
    let resumable = upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &to.folder)?;
            uploads.sweep(&folder);
            may_stand(&standing(&folder, &to.name)?, uploads.options.overwrite)?;
            uploads.has_room(site, &folder, length)?;
            Resumable::create(site, uploads, folder, info)
        })
        .await?;
    let id = resumable.id;
    let location = format!("{}?upload={id}", folder_of(&place));
    let expires = resumable.expires;
    let reply = match append::all(upload, intake, resumable, expected).await {
        Ok(offset) => Reply::new(StatusCode::CREATED).header(OFFSET, HeaderValue::from(offset)),
        // The upload is there, so the client is told its name.
        Err(refusal) => Reply::from(refusal),
    };
    Ok(reply.header(header::LOCATION, value(&location)).header(EXPIRES, date(expires)))
}

/// The folder of a place in a URL, with its slash.
fn folder_of(place: &Place) -> String {
    let mut url = String::from("/");
    for segment in place.folder.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        url.push_str(&sockeye_http::encode_segment(segment).to_string());
        url.push('/');
    }
    url
}

/// Says how much is there.
async fn tell(upload: &Upload, id: Id) -> Result<Reply, Refusal> {
    let no_store = HeaderValue::from_static("no-store");
    let path = upload.path()?.as_bytes().to_vec();
    if let Some(length) = upload.uploads().finished.length(id) {
        return Ok(Reply::new(StatusCode::OK)
            .header(OFFSET, HeaderValue::from(length))
            .header(LENGTH, HeaderValue::from(length))
            .header(header::CACHE_CONTROL, no_store));
    }
    let told = upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &path).map_err(|_| unknown_upload())?;
            match Resumable::open(site, uploads, &path, folder.clone(), id) {
                // All came before, but it was not put into its place. A client that hears of all
                // would take it for done.
                Ok(resumable) if resumable.is_whole() => {
                    let (info, expires) = (resumable.info.clone(), resumable.expires);
                    let offset = info.length;
                    resumable.finish(uploads)?;
                    Ok((offset, info, expires))
                }
                Ok(resumable) => {
                    Ok((resumable.offset(), resumable.info.clone(), resumable.expires))
                }
                // Somebody is adding to it.
                Err(refusal) if refusal.status == StatusCode::LOCKED => {
                    state::look(uploads, &folder, id)
                }
                Err(refusal) => Err(refusal),
            }
        })
        .await?;
    let (offset, info, expires) = told;
    let mut reply = Reply::new(StatusCode::OK)
        .header(OFFSET, HeaderValue::from(offset))
        .header(LENGTH, HeaderValue::from(info.length))
        .header(EXPIRES, date(expires))
        .header(header::CACHE_CONTROL, no_store);
    if let Some(metadata) = &info.metadata {
        reply = reply.header(METADATA, value(metadata));
    }
    Ok(reply)
}

async fn terminate(upload: &Upload, id: Id) -> Result<Reply, Refusal> {
    let path = upload.path()?.as_bytes().to_vec();
    upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &path).map_err(|_| unknown_upload())?;
            Resumable::open(site, uploads, &path, folder, id)?.remove()
        })
        .await?;
    Ok(Reply::new(StatusCode::NO_CONTENT))
}

/// The number in a header: digits alone.
fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let digits = first.to_str().unwrap_or_default();
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(number) if valid && values.next().is_none() => Ok(Some(number)),
        _ => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{name} is no number"))),
    }
}

fn date(seconds: i64) -> HeaderValue {
    value(ImfFixdate::from_unix(seconds).as_str())
}
