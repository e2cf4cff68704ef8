//! Capture files: what others captured is read and drawn, what the eye captures is written.
//!
//! ```text
//!  file -> Reader -> Conversations -> Histories -> pictures
//!                         \-> Follow -> a stream's bytes
//!
//!  eye -> Writer (a tap) -> comments -> blocks -> file
//! ```
//!
//! Files are hostile: whatever is in them, reading ends, takes bounded memory, and tells how far it
//! came.

mod blocks;
mod comments;
mod conversations;
mod follow;
mod histories;
mod reader;
mod writer;

pub use conversations::{Conversations, MAX_CONVERSATIONS, Place};
pub use follow::{Follow, Told};
pub use histories::{Histories, Listed, PICTURES, Shown};
pub use reader::{FileError, Frame, MAX_BLOCK, Reader, is_capture};
pub use writer::Writer;
