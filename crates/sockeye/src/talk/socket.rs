//! `--show-socket`: what a socket is, and every option it has.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};
use sockeye_engine::{OptionRow, SocketDescription};
use sockeye_wire::escape::Escaped;

use crate::output::{self, say};

/// Shows it on standard error, where nothing else can be taken for what a peer sent.
pub(crate) fn show(socket: &SocketDescription, json: bool) {
    match serde_json::to_string(socket) {
        Ok(line) if json => say(format_args!("{line}")),
        _ => say(format_args!("{}", page(socket, output::stderr_width().unwrap_or(100)))),
    }
}

fn page(socket: &SocketDescription, width: u16) -> String {
    let mut page = String::new();
    let mut fact = |name: &str, value: &str| {
        // A String takes everything.
        let _ = writeln!(page, "{name:<11} {}", Escaped(value.as_bytes()));
    };
    fact("family", &socket.family);
    fact("type", &socket.kind);
    fact("protocol", socket.protocol.as_deref().unwrap_or("-"));
    fact("descriptor", &socket.descriptor.to_string());
    fact("local", socket.local.as_deref().unwrap_or("-"));
    fact("peer", socket.peer.as_deref().unwrap_or("-"));
    if let Some(state) = socket.state {
        fact("state", state);
    }
    page.push('\n');
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width.clamp(60, 140));
    table.set_header(["OPTION", "VALUE", "DEFAULT", "UNIT", "WHAT IT IS FOR"]);
    for option in &socket.options {
        table.add_row(row(option));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index < 4 {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if column.index == 1 || column.index == 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        let _ = writeln!(page, "{}", line.trim_end());
    }
    if socket.options.iter().any(OptionRow::is_changed) {
        page.push_str("\n* is other than the default\n");
    }
    page.truncate(page.trim_end().len());
    page
}

fn row(option: &OptionRow) -> [String; 5] {
    let mark = if option.is_changed() { "* " } else { "" };
    let shown = |value: String| match value.is_empty() {
        true => "-".to_owned(),
        false => Escaped(value.as_bytes()).to_string(),
    };
    [
        option.name.to_owned(),
        format!("{mark}{}", shown(option.value.to_string())),
        option.default.as_ref().map_or_else(|| "-".to_owned(), |value| shown(value.to_string())),
        option.unit.to_owned(),
        match option.endpoint_option {
            Some(name) => format!("{} (?{name})", option.meaning),
            None => option.meaning.to_owned(),
        },
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::UdpSocket;

    use sockeye_engine::describe;

    use super::*;

    #[test]
    fn an_option_that_was_set_is_marked_and_fits_the_page() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = page(&describe(&socket).unwrap(), 80);
        assert!(!before.contains('*'), "{before}");
        socket.set_broadcast(true).unwrap();
        let after = page(&describe(&socket).unwrap(), 80);
        let line = after.lines().find(|line| line.starts_with("SO_BROADCAST")).unwrap();
        assert!(line.contains(" * on "), "{line}");
        assert!(after.contains("(?broadcast)"), "{after}");
        assert!(after.lines().all(|line| line.chars().count() <= 80), "{after}");
        assert!(after.contains("type        datagram\n"), "{after}");
    }
}
