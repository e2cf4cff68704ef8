//! PUT: a file as a whole (RFC 9110 §9.3.4).

use http::{HeaderMap, HeaderValue, header};
use sockeye_http::StatusCode;

use super::super::intake::Intake;
use super::super::reply::Reply;
use super::draft::{Draft, Pen, Standing, standing};
use super::names::Place;
use super::refusal::Refusal;
use super::{Upload, conditions, open_folder, tag, value};

pub(super) async fn run(upload: &Upload, intake: &mut Intake<'_>) -> Result<Reply, Refusal> {
    whole_and_plain(&upload.asked.headers)?;
    let path = upload.path()?;
    let location = path.location(false).to_string();
    let place = Place::of(&path).ok_or_else(is_folder)??;
    if path.has_trailing_slash() {
        return Err(is_folder());
    }
    upload.may_change(&place)?;
    let (length, asked, at) = (intake.length(), upload.asked.clone(), place.clone());
    // All that can be said no to is, before the content comes.
    let mut draft = upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &at.folder)?;
            let before = standing(&folder, &at.name)?;
            may_stand(&before, uploads.options.overwrite)?;
            conditions(site, &asked, &at, &before)?;
            uploads.has_room(site, &folder, length.unwrap_or(0))?;
            Draft::create(site, uploads, &folder)
        })
        .await?;
    pour(intake, draft.pen()).await?;
    let asked = upload.asked.clone();
    let published = upload
        .offload(move |site, uploads| {
            draft.publish(&place, |before| {
                may_stand(before, uploads.options.overwrite)?;
                conditions(site, &asked, &place, before)
            })
        })
        .await?;
    // It was stored as it came, so its tag may be told (RFC 9110 §9.3.4).
    let tag = value(tag(&published.identity).as_str());
    let status = if published.replaced { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
    Ok(Reply::new(status).header(header::ETAG, tag).header(header::LOCATION, value(&location)))
}

/// Writes all of the content.
pub(super) async fn pour(intake: &mut Intake<'_>, pen: &mut Pen) -> Result<(), Refusal> {
    while let Some(bytes) = intake.next().await? {
        pen.push(bytes).await?;
    }
    pen.flush().await
}

/// Whether what stands in a place leaves room for another file.
pub(super) fn may_stand(standing: &Standing, overwrite: bool) -> Result<(), Refusal> {
    match standing {
        Standing::Nothing => Ok(()),
        Standing::Folder => Err(is_folder()),
        Standing::File(_) | Standing::Link if overwrite => Ok(()),
        Standing::File(_) | Standing::Link => Err(Refusal::exists()),
    }
}

fn is_folder() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "this names a folder; a file needs a name (MKCOL makes folders)",
    )
}

/// Refuses parts of files, which are not to be taken for whole ones (RFC 9110 §14.4), and content that
/// would have to be decoded before it is the file (§8.4).
fn whole_and_plain(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::CONTENT_RANGE) {
        let detail = "PUT takes whole files, not a Content-Range (uploads are resumed by tus)";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, detail));
    }
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        let detail = "content is stored as it comes, and must not be encoded (Content-Encoding)";
        let none = HeaderValue::from_static("identity");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with(header::ACCEPT_ENCODING, none));
    }
    Ok(())
}
