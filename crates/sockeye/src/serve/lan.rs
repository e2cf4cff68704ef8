//! What is said of a server that a whole network can read, and its address for telephones.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;

use qrcode::{Color, EcLevel, QrCode};

use crate::output::{self, say};

/// Modules around the code that stay light; the standard asks for four (ISO/IEC 18004 §5.3.8), and all
/// readers do with two.
const QUIET: usize = 2;

/// Warns, and shows the first address that is not this machine's own as a QR code, on a terminal that is
/// wide enough for it.
pub(super) fn invite(addresses: &[SocketAddr]) {
    say(format_args!(
        "sockeye: --lan: anybody in these networks can read what is in the folder, until this ends"
    ));
    let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) else {
        return;
    };
    let Some(code) = drawn(&format!("http://{address}/")) else {
        return;
    };
    let columns = code.lines().next().map_or(0, |line| line.chars().count());
    let fits = output::stdout_width().is_none_or(|width| usize::from(width) >= columns);
    if io::stdout().is_terminal() && fits && !output::locale_is_ascii() {
        let _ = output::result(format_args!("{}", code.trim_end_matches('\n')));
    }
}

/// The text as a QR code in half blocks. Its dark parts are the gaps, so that it is dark on light on the
/// dark terminals most have, and readers that know of both take the other one.
fn drawn(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let side = width + 2 * QUIET;
    let is_light = |x: usize, y: usize| {
        let within = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        match (within(x), within(y)) {
            (Some(x), Some(y)) => colors[y * width + x] == Color::Light,
            // Below the last line of an odd number there is nothing.
            _ => y < side,
        }
    };
    let mut drawn = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            drawn.push(match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        let _ = writeln!(drawn);
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_square_with_a_light_border_and_its_three_eyes() {
        let drawn = drawn("http://192.0.2.7:8000/").expect("it is short");
        let lines: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
        let side = lines[0].len();
        assert_eq!(lines.len(), side.div_ceil(2));
        assert!(lines.iter().all(|line| line.len() == side));
        assert!(lines[0].iter().all(|shown| *shown == '█'), "two light rows");
        assert!(lines.iter().all(|line| line[0] == line[1] && line[side - 1] == line[side - 2]));
        // The top of an eye: seven dark modules over a dark one, five light ones and a dark one.
        let eye: String = [' ', '▄', '▄', '▄', '▄', '▄', ' '].iter().collect();
        let row: String = lines[1].iter().collect();
        assert_eq!(row.matches(&eye).count(), 2, "{drawn}");
    }
}
