//! `getsockopt(2)` and `setsockopt(2)` for the options rustix has no function for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

/// Reads an option into `value` and says how many bytes of it the kernel filled.
pub(crate) fn get_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = socklen_t::try_from(value.len()).unwrap_or(socklen_t::MAX);
    let value_pointer = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: the pointer is good for `length` bytes of `value`, which outlives the call; the
    // kernel writes no more than that and shortens `length` to what it wrote.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value_pointer, &raw mut length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).unwrap_or(usize::MAX).min(value.len()))
}

/// Sets an option to an integer or one of the kernel's plain C structures.
pub(crate) fn set_option<T: OptionValue>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    let length = length_of::<T>();
    let value_pointer = (&raw const *value).cast::<c_void>();
    // SAFETY: the pointer is good for the size of `T`, and an `OptionValue` is a structure
    // without pointers that the kernel only reads.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value_pointer, length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The size of a C structure as socket calls want it.
pub(crate) fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).expect("a socket call's structure is small")
}

/// What may be handed to `setsockopt(2)` by [`set_option`].
///
/// # Safety
/// Every byte of the type is initialised and none of it is a pointer.
pub(crate) unsafe trait OptionValue {}

// SAFETY: an integer.
unsafe impl OptionValue for c_int {}

// SAFETY: seven `c_uint`, no padding, no pointer.
unsafe impl OptionValue for libc::tpacket_req3 {}
