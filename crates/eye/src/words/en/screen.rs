//! The live face.

use super::super::screen::{Action, Heading, Screen};
use crate::view::live::Page;

pub(super) fn screen(screen: &Screen<'_>) -> String {
    let said = match *screen {
        Screen::Heading(heading) => match heading {
            Heading::Number => "#",
            Heading::Client => "client",
            Heading::Server => "server",
            Heading::States => "states",
            Heading::Sent => "sent c/s",
            Heading::Rate => "per s",
            Heading::Age => "age",
            Heading::End => "end",
            Heading::Found => "found",
        },
        Screen::Counts(open, ended) => return format!("{open} open, {ended} ended"),
        Screen::NoConnection => "no connection yet",
        Screen::NonePasses => "no connection that the filter lets through",
        Screen::Paused => "paused",
        Screen::Only(filter) => return format!("only those with \"{filter}\""),
        Screen::MoreOpen(count) => return format!("{count} more open"),
        Screen::Does(action) => match action {
            Action::Quit => "quit",
            Action::Select => "select",
            Action::Open => "open",
            Action::Filter => "filter",
            Action::Pause => "pause",
            Action::GoOn => "go on",
            Action::Keep => "keep",
            Action::Forget => "forget",
            Action::Back => "back",
            Action::NextPicture => "next picture",
            Action::Next => "next",
            Action::Scroll => "scroll",
            Action::Begin => "begin",
            Action::Follow => "follow",
        },
        Screen::Page(page) => match page {
            Page::Ladder => "ladder",
            Page::Rulers => "rulers",
            Page::Findings => "findings",
        },
        Screen::LongGone => "it ended so long ago that its history is not kept",
        Screen::Waiting => "waiting for the eye",
        Screen::Takes(columns) => return format!("a picture takes {columns} columns"),
    };
    said.to_owned()
}
