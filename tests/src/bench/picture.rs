//! A line chart as SVG, readable on light and on dark ground.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// Told apart by everybody, and by their markers (Okabe and Ito's palette, lighter where the ground is dark).
const COLOURS: [(&str, &str); 4] =
    [("#0072b2", "#56b4e9"), ("#d55e00", "#e69f00"), ("#008060", "#20c997"), ("#a0407f", "#e09cc8")];

/// A line: its label and its points.
pub(super) type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Draws lines over a logarithmic abscissa that begins with 1.
pub(super) fn draw(title: &str, abscissa: &str, unit: &str, lines: &[Line<'_>]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = points().map(|(x, _)| *x).fold(10.0, f64::max);
    let highest = points().map(|(_, y)| *y).fold(10.0, f64::max);
    let step = step(highest);
    let top = (highest / step).ceil() * step;
    let x = |value: f64| LEFT + value.log10() / most.log10() * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>{title}</title>\n{}",
        style(lines.len())
    );
    let _ = writeln!(svg, "<text class=\"ink\" x=\"{LEFT}\" y=\"24\" font-size=\"16\">{title}</text>");
    let mut level = 0.0;
    while level <= top {
        let at = y(level);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>", WIDTH - RIGHT);
        let label = format!("{level:.0} {unit}");
        let _ = writeln!(
            svg,
            "<text class=\"ink\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            at + 4.0
        );
        level += step;
    }
    let mut decade = 1.0;
    while decade <= most {
        let at = x(decade);
        let label = match decade {
            million if million >= 1e6 => format!("{:.0} M", decade / 1e6),
            thousand if thousand >= 1e3 => format!("{:.0} k", decade / 1e3),
            _ => format!("{decade:.0}"),
        };
        let below = HEIGHT - BOTTOM + 20.0;
        let _ = writeln!(svg, "<text class=\"ink\" x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{label}</text>");
        decade *= 10.0;
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    let _ = writeln!(
        svg,
        "<text class=\"ink\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{abscissa}</text>",
        HEIGHT - 14.0
    );
    for (number, (label, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points.iter().map(|(at, value)| format!("{:.1} {:.1}", x(*at), y(*value))).collect();
        if path.is_empty() {
            continue;
        }
        let _ = writeln!(svg, "<path class=\"line l{number}\" d=\"M{}\"/>", path.join("L"));
        for (at, value) in points {
            let _ = writeln!(svg, "{}", marker(number, x(*at), y(*value)));
        }
        let (key, row) = (LEFT + 16.0, TOP + 8.0 + number as f64 * 20.0);
        let _ = writeln!(svg, "{}", marker(number, key, row - 4.0));
        let _ = writeln!(svg, "<text class=\"ink\" x=\"{}\" y=\"{row}\">{label}</text>", key + 12.0);
    }
    svg + "</svg>\n"
}

/// A round distance of levels, for about five of them.
fn step(highest: f64) -> f64 {
    let magnitude = 10_f64.powf((highest / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| highest / step <= 6.0)
        .unwrap_or(highest)
}

fn style(lines: usize) -> String {
    let rules = |dark: bool| {
        let (ink, grid) = if dark { ("#e6edf3", "#3d444d") } else { ("#1f2328", "#d1d9e0") };
        let mut rules = format!(".ink{{fill:{ink}}}.grid{{stroke:{grid}}}");
        for (number, (on_light, on_dark)) in COLOURS.iter().cycle().take(lines).enumerate() {
            let colour = if dark { on_dark } else { on_light };
            let _ = write!(rules, ".l{number}{{stroke:{colour}}}.m{number}{{fill:{colour}}}");
        }
        rules
    };
    format!(
        "<style>.line{{fill:none;stroke-width:2}}{}@media(prefers-color-scheme:dark){{{}}}</style>\n",
        rules(false),
        rules(true)
    )
}

fn marker(number: usize, x: f64, y: f64) -> String {
    match number % 4 {
        0 => format!("<circle class=\"m{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        1 => format!("<path class=\"m{number}\" d=\"M{:.1} {:.1}h8v8h-8z\"/>", x - 4.0, y - 4.0),
        2 => format!("<path class=\"m{number}\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 6.0),
        _ => format!("<path class=\"m{number}\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>", y - 5.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{draw, step};

    #[test]
    fn levels_are_few_and_round() {
        for (highest, expected) in [(30.0, 5.0), (95.0, 20.0), (349.0, 100.0), (10.0, 2.0)] {
            assert!((step(highest) - expected).abs() < 1e-9, "{highest}: {}", step(highest));
        }
    }

    #[test]
    fn every_point_of_every_line_has_a_marker() {
        let svg = draw("t", "x", "ns", &[("one", vec![(1.0, 5.0), (1e6, 50.0)]), ("two", vec![(1.0, 7.0)])]);
        // One more in the key.
        assert_eq!((svg.matches("m0\" cx").count(), svg.matches("m1\" d").count()), (3, 2));
        assert!(svg.ends_with("</svg>\n"));
    }
}
