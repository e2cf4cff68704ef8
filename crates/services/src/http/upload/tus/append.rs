//! PATCH: the next bytes of an upload.

use http::{HeaderMap, HeaderValue, header};
use sockeye_http::StatusCode;

use super::super::super::intake::Intake;
use super::super::super::reply::Reply;
use super::super::names::Id;
use super::super::refusal::Refusal;
use super::super::{Upload, open_folder};
use super::checksum::Expected;
use super::state::Resumable;
use super::{CONTENT_TYPE, EXPIRES, OFFSET, date, number, unknown_upload};

pub(super) async fn run(
    upload: &Upload,
    intake: &mut Intake<'_>,
    id: Id,
) -> Result<Reply, Refusal> {
    let headers = &upload.asked.headers;
    right_type(headers)?;
    let expected = Expected::of(headers)?;
    let offset = number(headers, &OFFSET)?
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "Upload-Offset is missing"))?;
    let path = upload.path()?.as_bytes().to_vec();
    let resumable = upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &path).map_err(|_| unknown_upload())?;
            let resumable = Resumable::open(site, uploads, &path, folder, id)?;
            let there = resumable.offset();
            if there == offset {
                return Ok(resumable);
            }
            let detail = format!("the upload goes on at {there}, not at {offset}");
            Err(Refusal::new(StatusCode::CONFLICT, detail))
        })
        .await?;
    let expires = resumable.expires;
    let offset = all(upload, intake, resumable, expected).await?;
    Ok(Reply::new(StatusCode::NO_CONTENT)
        .header(OFFSET, HeaderValue::from(offset))
        .header(EXPIRES, date(expires)))
}

/// Whether the content is said to be what it is.
pub(super) fn right_type(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == CONTENT_TYPE) {
        return Ok(());
    }
    let detail = "the bytes of an upload are application/offset+octet-stream";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Adds all of the content to the upload, and puts the file into its place if that was the last of it.
/// Bytes that are there then.
pub(super) async fn all(
    upload: &Upload,
    intake: &mut Intake<'_>,
    mut resumable: Resumable,
    mut expected: Option<Expected>,
) -> Result<u64, Refusal> {
    let start = resumable.offset();
    let room = resumable.info.length.saturating_sub(start);
    if intake.length().is_some_and(|length| length > room) {
        return Err(too_much());
    }
    if expected.is_some() {
        resumable = upload.offload(move |_, _| resumable.doubt().map(|()| resumable)).await?;
    }
    let poured = pour(intake, &mut resumable, expected.as_mut(), room).await;
    let verified = match (poured, expected) {
        (Ok(()), Some(expected)) => expected.check(),
        (poured, None) => poured,
        (Err(refusal), Some(_)) => Err(refusal),
    };
    upload
        .offload(move |_, uploads| {
            if resumable.is_doubted() {
                if verified.is_err() {
                    resumable.pen().truncate(start)?;
                }
                resumable.sync()?;
                resumable.believe()?;
            } else {
                resumable.sync()?;
            }
            verified?;
            let offset = resumable.offset();
            if resumable.is_whole() {
                resumable.finish(uploads)?;
            }
            Ok(offset)
        })
        .await
}

/// Writes what comes. What has come stays, whatever ends it.
async fn pour(
    intake: &mut Intake<'_>,
    resumable: &mut Resumable,
    mut expected: Option<&mut Expected>,
    mut room: u64,
) -> Result<(), Refusal> {
    let ended = loop {
        match intake.next().await {
            Ok(None) => break Ok(()),
            Ok(Some(bytes)) => {
                let Some(left) = room.checked_sub(bytes.len() as u64) else {
                    break Err(too_much());
                };
                room = left;
                if let Some(expected) = &mut expected {
                    expected.add(&bytes);
                }
                resumable.pen().push(bytes).await?;
            }
            Err(error) => break Err(Refusal::from(error)),
        }
    };
    resumable.pen().flush().await?;
    ended
}

fn too_much() -> Refusal {
    let detail = "more came than Upload-Length said";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
