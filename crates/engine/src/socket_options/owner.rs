//! From names of users and groups to their numbers.

use std::ffi::CString;
use std::io;

use rustix::fs::{Gid, Uid};

use super::Owner;

/// An [`Owner`] as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) user: Option<Uid>,
    pub(crate) group: Option<Gid>,
}

impl Ids {
    /// Looks names up; a number is one.
    pub(crate) fn of(owner: &Owner) -> io::Result<Ids> {
        let user = owner.user.as_deref().map(|name| number(name, "user", user)).transpose()?;
        let group = owner.group.as_deref().map(|name| number(name, "group", group)).transpose()?;
        Ok(Ids { user: user.map(Uid::from_raw), group: group.map(Gid::from_raw) })
    }
}

fn number(
    name: &str,
    what: &str,
    look_up: fn(&CString) -> io::Result<Option<u32>>,
) -> io::Result<u32> {
    // The largest means "leave it" to chown(2).
    if let Some(number) = name.parse().ok().filter(|number| *number != u32::MAX) {
        return Ok(number);
    }
    let found = look_up(&CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?)?;
    found.ok_or_else(|| {
        let file = if what == "user" { "passwd" } else { "group" };
        let why = format!("owner: no {what} is called {name} (see: getent {file})");
        io::Error::new(io::ErrorKind::NotFound, why)
    })
}

/// Room for the texts of an entry; a group of very many members has more.
const ROOM: usize = 64 * 1024;

/// getpwnam_r(3).
fn user(name: &CString) -> io::Result<Option<u32>> {
    // SAFETY: a struct of integers and pointers, for which zeros are valid.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let (mut room, mut found) = (vec![0; ROOM], std::ptr::null_mut());
    // SAFETY: all that is pointed to lives for the call, and the room is as long as is said.
    let code = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            &raw mut entry,
            room.as_mut_ptr(),
            room.len(),
            &raw mut found,
        )
    };
    known(code, !found.is_null(), entry.pw_uid)
}

/// getgrnam_r(3).
fn group(name: &CString) -> io::Result<Option<u32>> {
    // SAFETY: a struct of integers and pointers, for which zeros are valid.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let (mut room, mut found) = (vec![0; ROOM], std::ptr::null_mut());
    // SAFETY: all that is pointed to lives for the call, and the room is as long as is said.
    let code = unsafe {
        libc::getgrnam_r(
            name.as_ptr(),
            &raw mut entry,
            room.as_mut_ptr(),
            room.len(),
            &raw mut found,
        )
    };
    known(code, !found.is_null(), entry.gr_gid)
}

/// The page says: some systems answer for a name they don't know with one of these errors.
fn known(code: i32, found: bool, number: u32) -> io::Result<Option<u32>> {
    match code {
        0 => Ok(found.then_some(number)),
        libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => Ok(None),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(user: Option<&str>, group: Option<&str>) -> io::Result<(Option<u32>, Option<u32>)> {
        let owner = Owner { user: user.map(Into::into), group: group.map(Into::into) };
        Ids::of(&owner).map(|ids| (ids.user.map(Uid::as_raw), ids.group.map(Gid::as_raw)))
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the system")]
    fn names_and_numbers_of_owners_are_found_and_others_told() {
        assert_eq!(owner(Some("root"), Some("root")).expect("everywhere"), (Some(0), Some(0)));
        assert_eq!(owner(Some("12345"), None).expect("a number"), (Some(12345), None));
        let error = owner(None, Some("no-such-group-here")).expect_err("nobody").to_string();
        assert_eq!(error, "owner: no group is called no-such-group-here (see: getent group)");
    }
}
