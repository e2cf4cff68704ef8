//! What lies between the lifelines: a segment on its way.

use sockeye_engine::probe::Direction;
use unicode_width::UnicodeWidthStr;

use crate::pair::Fate;
use crate::view::style::{Glyphs, Ink};

/// An arrow, with words on it.
pub(super) struct Arrow {
    pub(super) way: Direction,
    pub(super) ink: Ink,
    pub(super) text: String,
    /// What stands at its head.
    pub(super) flight: String,
    /// One that was lost does not reach the other side, and one that nobody sent begins nowhere.
    pub(super) fate: Fate,
}

impl Default for Arrow {
    fn default() -> Arrow {
        let (text, flight) = (String::new(), String::new());
        Arrow { way: Direction::Sent, ink: Ink::Plain, text, flight, fate: Fate::Unknown }
    }
}

impl Arrow {
    /// Draws it `columns` wide.
    pub(super) fn draw(&self, to_right: bool, columns: usize, glyphs: &Glyphs) -> String {
        let end = match (&*self.flight, self.fate, to_right) {
            (_, Fate::Lost, _) => String::from("x"),
            ("", _, true) => glyphs.to_right.to_string(),
            ("", _, false) => glyphs.to_left.to_string(),
            (flight, _, true) => format!(" {flight} {}", glyphs.to_right),
            (flight, _, false) => format!("{} {flight} ", glyphs.to_left),
        };
        let broken = matches!(self.fate, Fate::Lost | Fate::Foreign);
        let start = if self.fate == Fate::Foreign { "?" } else { "" };
        let room = columns.saturating_sub(self.text.width() + 2 + end.width() + start.len());
        // As far as there is room one that is broken leaves a fifth of its way empty.
        let gap = if broken { room.saturating_sub(2).min((columns / 5).max(1)) } else { 0 };
        let dashes = room - gap;
        let before = (dashes / 2).max(1).min(dashes);
        let dash = |count: usize| glyphs.dash.to_string().repeat(count);
        let (before, after, gap) = (dash(before), dash(dashes - before), " ".repeat(gap));
        let text = &self.text;
        match (to_right, self.fate) {
            (true, Fate::Lost) => format!("{before} {text} {after}{end}{gap}"),
            (false, Fate::Lost) => format!("{gap}{end}{after} {text} {before}"),
            (true, _) => format!("{gap}{start}{before} {text} {after}{end}"),
            (false, _) => format!("{end}{after} {text} {before}{start}{gap}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::style::Style;

    fn drawn(fate: Fate, flight: &str, to_right: bool) -> String {
        let style = Style { ascii: true, ..Style::default() };
        let (text, flight) = (String::from("[0..4)"), flight.to_owned());
        let arrow = Arrow { text, flight, fate, ..Arrow::default() };
        arrow.draw(to_right, 30, style.glyphs())
    }

    #[test]
    fn one_that_was_lost_does_not_reach_the_other_side() {
        assert_eq!(drawn(Fate::Arrived, "", true), "---------- [0..4) ----------->");
        assert_eq!(drawn(Fate::Lost, "", true), "------- [0..4) --------x      ");
        assert_eq!(drawn(Fate::Lost, "", false), "      x-------- [0..4) -------");
    }

    #[test]
    fn one_that_nobody_sent_begins_nowhere() {
        assert_eq!(drawn(Fate::Foreign, "", true), "      ?------- [0..4) ------->");
        assert_eq!(drawn(Fate::Foreign, "", false), "<------- [0..4) -------?      ");
    }

    #[test]
    fn the_time_in_flight_stands_at_the_head() {
        assert_eq!(drawn(Fate::Arrived, "+0.12", true), "------- [0..4) ------- +0.12 >");
        assert_eq!(drawn(Fate::Arrived, "+0.12", false), "< +0.12 ------- [0..4) -------");
    }
}
