//! A form with files, as browsers and `curl -F` send it (RFC 7578): each file is put into its place as
//! soon as it is whole.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use serde::Serialize;
use sockeye_http::multipart::{Event, MultipartDecoder, MultipartLimits, Part, boundary};
use sockeye_http::{StatusCode, encode_segment};

use super::super::intake::Intake;
use super::super::reply::Reply;
use super::draft::{Draft, standing};
use super::names::{Place, last_segment};
use super::put::may_stand;
use super::refusal::Refusal;
use super::{Upload, open_folder, tag, value};

/// What a form is longer than its files, at least for sure.
const FRAMING: u64 = 4096;

pub(super) async fn run(upload: &Upload, intake: &mut Intake<'_>) -> Result<Reply, Refusal> {
    let kind = upload.asked.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let boundary = boundary(kind.unwrap_or_default())
        .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
    let path = upload.path()?;
    let at = path.as_bytes().to_vec();
    if super::leads_to_ours(&at) {
        return Err(missing());
    }
    let length = intake.length().unwrap_or(0).saturating_sub(FRAMING);
    let to = at.clone();
    let folder = upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &to).map_err(|refusal| match refusal.status {
                StatusCode::CONFLICT => missing(),
                _ => refusal,
            })?;
            uploads.has_room(site, &folder, length)?;
            Ok(folder)
        })
        .await?;
    let mut reader = Reader {
        upload,
        folder,
        at,
        location: path.location(true).to_string(),
        current: Current::Nothing,
        report: Report::default(),
        worst: None,
    };
    let mut decoder = MultipartDecoder::new(boundary, MultipartLimits::default());
    match reader.read(intake, &mut decoder).await {
        Ok(()) => reader.reply(),
        Err(mut refusal) => {
            // What was put into its place stays there, so it is said.
            if !reader.report.saved.is_empty() {
                let names: Vec<&str> =
                    reader.report.saved.iter().map(|saved| saved.name.as_str()).collect();
                refusal.detail = format!("{} (saved: {})", refusal.detail, names.join(", ")).into();
            }
            Err(refusal)
        }
    }
}

fn missing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such folder to upload to")
}

struct Reader<'u> {
    upload: &'u Upload,
    folder: Arc<OwnedFd>,
    /// Its path, to be put in front of names.
    at: Vec<u8>,
    /// The same in a URL.
    location: String,
    current: Current,
    report: Report,
    /// The status of the first file that was refused.
    worst: Option<StatusCode>,
}

/// The part that is being read.
enum Current {
    Nothing,
    /// A field that is no file, or a file that is not taken.
    Skipped,
    File(Box<Draft>, Place),
}

/// What became of the files.
#[derive(Default, Serialize)]
struct Report {
    saved: Vec<Saved>,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Saved {
    name: String,
    location: String,
    bytes: u64,
    etag: String,
}

#[derive(Serialize)]
struct Refused {
    name: String,
    reason: String,
}

impl Reader<'_> {
    async fn read(
        &mut self,
        intake: &mut Intake<'_>,
        decoder: &mut MultipartDecoder,
    ) -> Result<(), Refusal> {
        let mut waiting = BytesMut::new();
        while let Some(bytes) = intake.next().await? {
            // Only what may be a border or a head is left from before.
            waiting.extend_from_slice(&bytes);
            drop(bytes);
            let mut input = waiting.split().freeze();
            loop {
                let step = decoder
                    .decode(&input)
                    .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
                let consumed = step.consumed;
                match step.event {
                    None => {
                        waiting.extend_from_slice(&input[consumed..]);
                        break;
                    }
                    Some(Event::Part(part)) => {
                        self.end_part().await?;
                        self.begin_part(part).await?;
                    }
                    Some(Event::Content(content)) => {
                        let content = input.slice_ref(content);
                        self.content(content).await?;
                    }
                    Some(Event::End) => self.end_part().await?,
                }
                input = input.slice(consumed..);
            }
        }
        decoder.finish().map_err(|error| Refusal::new(error.status(), error.to_string()))
    }

    async fn begin_part(&mut self, part: Part) -> Result<(), Refusal> {
        self.current = Current::Skipped;
        // A form sends an empty name when no file was chosen.
        let Some(filename) = part.filename.filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let name = last_segment(&filename);
        let place = Place::within(&self.at, name)
            .and_then(|place| self.upload.may_change(&place).map(|()| place));
        let place = match place {
            Ok(place) => place,
            Err(refusal) => return self.refuse(name, refusal),
        };
        let (folder, to) = (Arc::clone(&self.folder), place.clone());
        let draft = self
            .upload
            .offload(move |site, uploads| {
                may_stand(&standing(&folder, &to.name)?, uploads.options.overwrite)?;
                Draft::create(site, uploads, &folder)
            })
            .await;
        match draft {
            Ok(draft) => self.current = Current::File(Box::new(draft), place),
            Err(refusal) => self.refuse(&place.name, refusal)?,
        }
        Ok(())
    }

    async fn content(&mut self, content: Bytes) -> Result<(), Refusal> {
        match &mut self.current {
            Current::File(draft, _) => draft.pen().push(content).await,
            Current::Nothing | Current::Skipped => Ok(()),
        }
    }

    async fn end_part(&mut self) -> Result<(), Refusal> {
        let Current::File(mut draft, place) =
            std::mem::replace(&mut self.current, Current::Nothing)
        else {
            return Ok(());
        };
        draft.pen().flush().await?;
        let bytes = draft.at();
        let name = place.name.clone();
        let published = self
            .upload
            .offload(move |_, uploads| {
                draft.publish(&place, |before| may_stand(before, uploads.options.overwrite))
            })
            .await;
        match published {
            Ok(published) => self.report.saved.push(Saved {
                name: String::from_utf8_lossy(&name).into_owned(),
                location: format!("{}{}", self.location, encode_segment(&name)),
                bytes,
                etag: tag(&published.identity).as_str().to_owned(),
            }),
            Err(refusal) => self.refuse(&name, refusal)?,
        }
        Ok(())
    }

    /// Notes that a file was not taken. The others may be, unless there is no room at all.
    fn refuse(&mut self, name: &[u8], refusal: Refusal) -> Result<(), Refusal> {
        if refusal.is_disk_full() {
            return Err(refusal);
        }
        self.worst.get_or_insert(refusal.status);
        self.report.refused.push(Refused {
            name: String::from_utf8_lossy(name).into_owned(),
            reason: refusal.detail.into_owned(),
        });
        Ok(())
    }

    fn reply(self) -> Result<Reply, Refusal> {
        let Report { saved, refused } = &self.report;
        if saved.is_empty() && refused.is_empty() {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "the form has no file in it"));
        }
        let status = self.worst.unwrap_or(StatusCode::CREATED);
        let accepts = |kind: &str| {
            let mut values = self.upload.asked.headers.get_all(header::ACCEPT).iter();
            values.any(|value| String::from_utf8_lossy(value.as_bytes()).contains(kind))
        };
        if accepts("application/json") {
            let json = serde_json::to_vec(&self.report).unwrap_or_default();
            return Ok(Reply::new(status).typed("application/json", json));
        }
        if self.worst.is_none() && accepts("text/html") {
            // The folder is shown, and to load that again does not send the files again.
            return Ok(
                Reply::new(StatusCode::SEE_OTHER).header(header::LOCATION, value(&self.location))
            );
        }
        let lines = saved
            .iter()
            .map(|saved| format!("saved {} ({} B)\n", shown(&saved.name), saved.bytes))
            .chain(refused.iter().map(|refused| {
                format!("not saved: {}: {}\n", shown(&refused.name), refused.reason)
            }));
        Ok(Reply::text(status, lines.collect::<String>())
            .header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
    }
}

fn shown(name: &str) -> String {
    name.replace(char::is_control, "?")
}
