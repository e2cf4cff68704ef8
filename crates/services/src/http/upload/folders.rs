//! MKCOL: a new folder (RFC 4918 §9.3).

use http::header;
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;
use sockeye_engine::fault::{self, Point};
use sockeye_http::{Method, StatusCode};

use super::super::intake::Intake;
use super::super::methods;
use super::super::reply::Reply;
use super::draft::{Standing, standing, sync_folder};
use super::names::Place;
use super::refusal::Refusal;
use super::{MKCOL, Upload, conditions, open_folder, value};

pub(super) async fn run(upload: &Upload, intake: &Intake<'_>) -> Result<Reply, Refusal> {
    if intake.length() != Some(0) {
        let detail = "MKCOL takes no content (RFC 4918 §9.3)";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let path = upload.path()?;
    let location = path.location(true).to_string();
    let allow = methods::allowed(&upload.site.options);
    let names: Vec<&str> = allow.iter().map(Method::as_str).filter(|name| *name != MKCOL).collect();
    // 405 comes with what is allowed (RFC 9110 §15.5.6).
    let allow = value(&names.join(", "));
    let exists = move || exists().with(header::ALLOW, allow.clone());
    let place = Place::of(&path).ok_or_else(&exists)??;
    upload.may_change(&place)?;
    let asked = upload.asked.clone();
    upload
        .offload(move |site, _| {
            let folder = open_folder(site, &place.folder)?;
            let before = standing(&folder, &place.name)?;
            conditions(site, &asked, &place, &before)?;
            if !matches!(before, Standing::Nothing) {
                return Err(exists());
            }
            fault::ask(Point::Open)?;
            // The umask of the process takes from these what it takes from all folders.
            match mkdirat(&*folder, &place.name[..], Mode::from_raw_mode(0o777)) {
                Err(Errno::EXIST) => return Err(exists()),
                made => made?,
            }
            Ok(sync_folder(&folder)?)
        })
        .await?;
    Ok(Reply::new(StatusCode::CREATED).header(header::LOCATION, value(&location)))
}

fn exists() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "something is there already (RFC 4918 §9.3.1)")
}
