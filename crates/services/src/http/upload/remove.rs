//! DELETE: a file, or a folder (RFC 9110 §9.3.5).

use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, renameat, unlinkat};
use rustix::io::Errno;
use sockeye_engine::fault::{self, Point};
use sockeye_http::StatusCode;

use super::super::reply::Reply;
use super::draft::{Standing, standing, sync_folder};
use super::names::{Id, Kind, Place};
use super::refusal::Refusal;
use super::{Upload, conditions, open_folder, sweep};

pub(super) async fn run(upload: &Upload) -> Result<Reply, Refusal> {
    let path = upload.path()?;
    let Some(place) = Place::of(&path) else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the folder that is served is never removed",
        ));
    };
    let (place, slash) = (place?, path.has_trailing_slash());
    if !upload.uploads().options.overwrite {
        let detail = "this server removes nothing (--write=overwrite)";
        return Err(Refusal::new(StatusCode::FORBIDDEN, detail));
    }
    upload.may_change(&place)?;
    // Rules by path may be about something in it.
    let whole = upload.uploads().options.remove_folders && upload.site.options.rules.grants_all();
    let asked = upload.asked.clone();
    upload
        .offload(move |site, uploads| {
            let folder = open_folder(site, &place.folder).map_err(|_| absent())?;
            let lock = uploads.publishing.lock().unwrap_or_else(PoisonError::into_inner);
            let before = standing(&folder, &place.name)?;
            match &before {
                Standing::Nothing => return Err(absent()),
                // `f/` is no name of a file.
                Standing::File(_) | Standing::Link if slash => return Err(absent()),
                _ => conditions(site, &asked, &place, &before)?,
            }
            fault::ask(Point::Open)?;
            match &before {
                Standing::Nothing => {}
                Standing::File(stat) => {
                    unlinkat(&*folder, &place.name[..], AtFlags::empty())?;
                    if let Some(quota) = &uploads.quota {
                        quota.removed(sweep::size(stat));
                    }
                }
                Standing::Link => unlinkat(&*folder, &place.name[..], AtFlags::empty())?,
                Standing::Folder => match unlinkat(&*folder, &place.name[..], AtFlags::REMOVEDIR) {
                    Err(Errno::NOTEMPTY | Errno::EXIST) if whole => {
                        let trash = set_aside(&folder, &place.name)?;
                        drop(lock);
                        return empty(&trash, &folder).map(|freed| {
                            if let Some(quota) = &uploads.quota {
                                quota.removed(freed);
                            }
                        });
                    }
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(not_empty()),
                    removed => removed?,
                },
            }
            Ok(sync_folder(&folder)?)
        })
        .await?;
    Ok(Reply::new(StatusCode::NO_CONTENT))
}

/// A folder that has no other name any more, locked for as long as it is open.
struct Trash {
    name: String,
    folder: OwnedFd,
}

/// Takes a folder out of everybody's sight at once: nobody sees half of it, and if this process is
/// killed meanwhile, the rest is removed at the next start.
fn set_aside(parent: &OwnedFd, name: &[u8]) -> Result<Trash, Refusal> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    // Nobody else locks folders that are served.
    let _ = flock(&folder, FlockOperation::NonBlockingLockExclusive);
    let trash = Id::new()?.name(Kind::Trash);
    renameat(parent, name, parent, &trash)?;
    sync_folder(parent)?;
    Ok(Trash { name: trash, folder })
}

/// Removes it with all that is in it; how many bytes that were.
fn empty(trash: &Trash, parent: &OwnedFd) -> Result<u64, Refusal> {
    let held = sweep::count(&trash.folder);
    sweep::remove_trash(parent, trash.name.as_bytes())?;
    sync_folder(parent)?;
    Ok(held)
}

fn absent() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing of that name")
}

fn not_empty() -> Refusal {
    let detail = "the folder is not empty, or an upload into it has not ended (--delete-folders)";
    Refusal::new(StatusCode::CONFLICT, detail)
}
