//! What the live face says, before it is said in a language.

use crate::view::live::Page;

/// A part of the face.
pub(crate) enum Screen<'a> {
    /// The title of a column of the list.
    Heading(Heading),
    /// So many are open, and so many have ended.
    Counts(u64, u64),
    NoConnection,
    NonePasses,
    Paused,
    /// Only those that have this in them.
    Only(&'a str),
    /// So many more are open.
    MoreOpen(u64),
    /// What a key does.
    Does(Action),
    /// What a picture is called.
    Page(Page),
    /// Why there is no picture: it ended long ago, or is not there yet, or takes so many columns.
    LongGone,
    Waiting,
    Takes(usize),
}

/// A column of the list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heading {
    Number,
    Client,
    Server,
    States,
    Sent,
    Rate,
    Age,
    End,
    Found,
}

/// What a key does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Quit,
    Select,
    Open,
    Filter,
    Pause,
    GoOn,
    Keep,
    Forget,
    Back,
    NextPicture,
    Next,
    Scroll,
    Begin,
    Follow,
}
