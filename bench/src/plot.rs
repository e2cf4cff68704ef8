//! A plot of a few lines over two logarithmic axes, as an SVG that is readable in light and dark.

use std::fmt::{self, Write};

/// What is drawn. Points must be above 0; others are left out.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) series: Vec<Series>,
}

/// One line, its name written at its right end.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Width and height of the picture, and the corners of the field within it.
const SIZE: (f64, f64) = (820.0, 480.0);
const LEFT_TOP: (f64, f64) = (86.0, 45.0);
const RIGHT_BOTTOM: (f64, f64) = (690.0, 420.0);

/// Names of lines stand at least so far from each other.
const LINE_HEIGHT: f64 = 15.0;

/// Hues that differ also for those who don't see all colours, in a shade for each background.
const COLOURS: [(&str, &str); 8] = [
    ("#0060a8", "#58b0f0"),
    ("#c04800", "#f09050"),
    ("#007850", "#30c890"),
    ("#a83880", "#e890c8"),
    ("#806000", "#d8b840"),
    ("#5038b0", "#a898f8"),
    ("#b01828", "#f87880"),
    ("#505860", "#a8b0b8"),
];

impl Plot {
    pub(crate) fn to_svg(&self) -> String {
        let mut svg = String::new();
        // Only a formatter that fails can fail here, and a String's does not.
        self.draw(&mut svg).unwrap_or_default();
        svg
    }

    fn draw(&self, svg: &mut String) -> fmt::Result {
        let (width, height) = SIZE;
        let ((left, top), (right, bottom)) = (LEFT_TOP, RIGHT_BOTTOM);
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n<title>{}</title>\n{}",
            escape(&self.title),
            style()
        )?;
        writeln!(svg, "<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>")?;
        let middle = f64::midpoint(left, right);
        text(svg, (middle, 26.0), "middle", "font-size=\"16\"", &self.title)?;
        text(svg, (middle, height - 18.0), "middle", "", &self.x)?;
        let turned = format!("transform=\"rotate(-90 18 {0})\"", f64::midpoint(top, bottom));
        text(svg, (18.0, f64::midpoint(top, bottom)), "middle", &turned, &self.y)?;
        let points = || self.series.iter().flat_map(|series| series.points());
        let x = Axis::over(points().map(|point| point.0), left, right);
        let y = Axis::over(points().map(|point| point.1), bottom, top).rounded();
        for (value, at) in x.ticks() {
            writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>")?;
            text(svg, (at, bottom + 20.0), "middle", "", &number(value))?;
        }
        for (value, at) in y.ticks() {
            writeln!(svg, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>")?;
            text(svg, (left - 8.0, at + 4.5), "end", "", &number(value))?;
        }
        let mut names = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            let places: Vec<_> =
                series.points().map(|point| (x.place(point.0), y.place(point.1))).collect();
            let Some(&(_, end)) = places.last() else { continue };
            let class = index % COLOURS.len();
            let dash = if series.dashed { " stroke-dasharray=\"7 4\"" } else { "" };
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            writeln!(svg, "<path class=\"line s{class}\"{dash} d=\"M{}\"/>", path.join("L"))?;
            for (x, y) in places {
                writeln!(svg, "<circle class=\"s{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>")?;
            }
            names.push((end, class, series.name.as_str()));
        }
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = names.iter().map(|name| name.0).collect();
        for ((_, class, name), at) in names.iter().zip(spread(&wanted, top, bottom)) {
            let class = format!("class=\"s{class}\"");
            text(svg, (right + 10.0, at + 4.5), "start", &class, name)?;
        }
        writeln!(svg, "</svg>")
    }
}

impl Series {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let can_be_drawn = |value: f64| value.is_finite() && value > 0.0;
        self.points.iter().copied().filter(move |&(x, y)| can_be_drawn(x) && can_be_drawn(y))
    }
}

/// A logarithmic axis, from `start` to `end` of the picture; its bounds are powers of ten.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// From the least value to the greatest.
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for exponent in values.map(f64::log10) {
            (low, high) = (low.min(exponent), high.max(exponent));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        Self { low, high: high.max(low + f64::EPSILON), start, end }
    }

    /// From a whole power of ten to another.
    fn rounded(self) -> Self {
        let low = self.low.floor();
        Self { low, high: self.high.ceil().max(low + 1.0), ..self }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - self.low) / (self.high - self.low);
        self.start + (self.end - self.start) * part
    }

    /// The whole powers of ten on it, and where they are.
    fn ticks(&self) -> impl Iterator<Item = (f64, f64)> {
        // Those of all finite numbers.
        let powers =
            (-308..=308).filter(|&power| (self.low..=self.high).contains(&f64::from(power)));
        powers.map(|power| {
            let value = 10_f64.powi(power);
            (value, self.place(value))
        })
    }
}

/// The places nearest to those wanted, in order, at which names don't cover each other.
fn spread(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::with_capacity(wanted.len());
    for &place in wanted {
        let free = places.last().map_or(top, |last| last + LINE_HEIGHT);
        places.push(place.max(free));
    }
    // Whoever was pushed out below pushes back.
    let mut free = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(free);
        free = *place - LINE_HEIGHT;
    }
    places
}

fn text(
    svg: &mut String,
    (x, y): (f64, f64),
    anchor: &str,
    attributes: &str,
    text: &str,
) -> fmt::Result {
    let text = escape(text);
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {attributes}>{text}</text>"
    )
}

fn style() -> String {
    let shades = |shade: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        let colours = COLOURS.iter().enumerate();
        colours.map(|(class, colour)| format!(".s{class}{{--c:{}}}", shade(colour))).collect()
    };
    format!(
        "<style>\n.ground{{fill:#fff}}text{{fill:var(--c,#24292f)}}\
         .grid{{stroke:#d8dee4;fill:none}}circle{{fill:var(--c)}}\
         .line{{stroke:var(--c);fill:none;stroke-width:2;stroke-linejoin:round}}{}\n\
         @media(prefers-color-scheme:dark){{.ground{{fill:#0d1117}}text{{fill:var(--c,#e6edf3)}}\
         .grid{{stroke:#30363d}}{}}}\n</style>",
        shades(|colour| colour.0),
        shades(|colour| colour.1)
    )
}

/// `10000` as `10,000`; parts of one as they are.
fn number(value: f64) -> String {
    let digits = value.to_string();
    if value < 1000.0 {
        return digits;
    }
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_is_as_wide_wherever_it_lies() {
        let axis = Axis::over([12.0, 9000.0].into_iter(), 0.0, 300.0).rounded();
        let places: Vec<f64> = axis.ticks().map(|tick| tick.1).collect();
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0]);
        assert!((axis.place(31.622_776_601_683_79) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn an_axis_ends_where_the_points_do_unless_it_is_rounded() {
        let axis = Axis::over([10.0, 15_000.0].into_iter(), 0.0, 300.0);
        assert!((axis.place(15_000.0) - 300.0).abs() < 1e-9);
        let values: Vec<f64> = axis.ticks().map(|tick| tick.0).collect();
        assert_eq!(values, [10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn names_keep_their_order_and_their_distance_within_the_field() {
        let wanted = [40.0, 41.0, 41.5, 200.0, 418.0, 419.0, 419.0];
        let places = spread(&wanted, 45.0, 420.0);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LINE_HEIGHT - 1e-9));
        assert!(places[0] >= 45.0 && places[6] <= 420.0, "{places:?}");
        assert!((places[3] - 200.0).abs() < 1e-9, "nobody pushed this one");
    }

    #[test]
    fn every_line_has_its_points_and_its_name() {
        let line = |name: &str, points: &[(f64, f64)]| Series {
            name: name.to_owned(),
            dashed: false,
            points: points.to_vec(),
        };
        let series = vec![
            line("poll", &[(10.0, 5.0), (1000.0, 90.0)]),
            line("a<b", &[(10.0, 5.0), (100.0, 0.0)]),
            line("absent", &[]),
        ];
        let plot = Plot { title: "t".into(), x: "x".into(), y: "y".into(), series };
        let svg = plot.to_svg();
        assert_eq!(svg.matches("<circle").count(), 3, "what can't be drawn is left out: {svg}");
        assert!(svg.contains(">poll</text>") && svg.contains(">a&lt;b</text>"));
        assert!(!svg.contains("absent") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([0.1, 10.0, 1000.0, 100_000.0].map(number), ["0.1", "10", "1,000", "100,000"]);
    }
}
