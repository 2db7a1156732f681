//! Writes the figures of a report into `docs/performance.md`, between its marks, and draws `docs/performance.svg`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::picture;

/// A report, read back.
#[derive(Deserialize, Debug)]
pub(super) struct Figures {
    machine: String,
    kernel: String,
    commit: String,
    benchmarks: Vec<Figure>,
}

#[derive(Deserialize, Debug)]
struct Figure {
    name: String,
    unit: String,
    p50: f64,
    p99: f64,
    goal: Option<f64>,
    #[serde(default)]
    compared_with: BTreeMap<String, f64>,
}

/// Where the documentation is.
pub(super) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Rewrites document and picture from `performance.json` in the same directory.
pub(super) fn rewrite(directory: &Path) -> Result<()> {
    let figures = Figures::read(directory)?;
    let path = directory.join("performance.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, figures.fill(&text)?).with_context(|| format!("cannot write {}", path.display()))?;
    let path = directory.join("performance.svg");
    fs::write(&path, figures.picture()).with_context(|| format!("cannot write {}", path.display()))
}

/// What stands between two marks, by the name in the first one.
type Section = (&'static str, fn(&Figures) -> String);

const SECTIONS: [Section; 10] = [
    ("machine", Figures::machine),
    ("goals", Figures::goals),
    ("programs", |figures| figures.costs("xdp")),
    ("single", |figures| figures.costs("xdp-single") + "\n" + &figures.costs("tc")),
    ("encapsulations", Figures::encapsulations),
    ("forwarding", Figures::forwarding),
    ("instructions", Figures::instructions),
    ("transfer", Figures::transfer),
    ("agents", Figures::agents),
    ("roam", Figures::roam),
];

/// Numbers of bindings, as columns.
const COLUMNS: [u32; 5] = [1, 1_000, 10_000, 100_000, 1_000_000];

impl Figures {
    fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("performance.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
    }

    /// The document with the figures of this report.
    fn fill(&self, text: &str) -> Result<String> {
        let mut filled = text.to_owned();
        for (name, section) in SECTIONS {
            let (begin, end) = (format!("<!-- figures: {name} -->\n"), "<!-- end of figures -->");
            let start =
                filled.find(&begin).with_context(|| format!("the document has no place for {name}"))? + begin.len();
            let length = filled[start..].find(end).with_context(|| format!("the place for {name} has no end"))?;
            filled.replace_range(start..start + length, &format!("\n{}\n", section(self)));
        }
        Ok(filled)
    }

    fn picture(&self) -> String {
        let series = [
            ("home agent, IP-in-IP, array", "programs/xdp/home-agent/encapsulate"),
            ("home agent, IP-in-IP, hash", "programs/xdp/hashed-home-agent/encapsulate"),
            ("foreign agent, to the visitor", "programs/xdp/foreign-agent/decapsulate"),
            ("access point", "programs/xdp/access-point/rewrite"),
        ];
        let lines = series.map(|(label, name)| {
            let points = COLUMNS.iter().filter_map(|bindings| {
                Some((f64::from(*bindings), self.find(&format!("{name}/{bindings}"))?.p50.max(0.0)))
            });
            (label, points.collect::<Vec<_>>())
        });
        picture::draw("Cost of a packet at XDP", "bindings, visitors or stations, hit at random", "ns", &lines)
    }

    fn find(&self, name: &str) -> Option<&Figure> {
        self.benchmarks.iter().find(|figure| figure.name == name)
    }

    fn machine(&self) -> String {
        format!("{}, Linux {}, commit {}.\n", self.machine, self.kernel, self.commit)
    }

    fn goals(&self) -> String {
        let mut table = String::from("| Figure | Goal | Measured | |\n| --- | ---: | ---: | --- |\n");
        for figure in &self.benchmarks {
            let Some(goal) = figure.goal else { continue };
            let (relation, met) =
                if figure.less_is_better() { ("≤", figure.p50 <= goal) } else { ("≥", figure.p50 >= goal) };
            let verdict = if met { "met" } else { "**missed**" };
            let (goal, measured) = (number(goal), number(figure.p50));
            let _ =
                writeln!(table, "| `{}` | {relation} {goal} {} | {measured} | {verdict} |", figure.name, figure.unit);
        }
        table
    }

    /// Encapsulations, by hook and direction: median, and the hundredth slowest.
    fn encapsulations(&self) -> String {
        const COLUMNS: [(&str, &str); 4] = [
            ("into it, XDP", "xdp/home-agent/encapsulate"),
            ("out of it, XDP", "xdp/foreign-agent/decapsulate"),
            ("into it, TC", "tc/home-agent/encapsulate"),
            ("out of it, TC", "tc/foreign-agent/decapsulate"),
        ];
        let mut table = String::from("| One client, ns |");
        for (heading, _) in COLUMNS {
            let _ = write!(table, " {heading} |");
        }
        table += "\n| --- | ---: | ---: | ---: | ---: |\n";
        let first = format!("encapsulations/{}/", COLUMNS[0].1);
        for label in self.benchmarks.iter().filter_map(|figure| figure.name.strip_prefix(&first)) {
            let _ = write!(table, "| {label} |");
            for (_, path) in COLUMNS {
                let _ = match self.find(&format!("encapsulations/{path}/{label}")) {
                    Some(figure) => write!(table, " {} ({}) |", number(figure.p50), number(figure.p99)),
                    None => write!(table, " |"),
                };
            }
            table += "\n";
        }
        table
    }

    /// Paths at one place, by the number of bindings: median, and the hundredth slowest.
    fn costs(&self, place: &str) -> String {
        let prefix = format!("programs/{place}/");
        let mut paths = Vec::new();
        for figure in &self.benchmarks {
            if let Some((path, _)) = figure.name.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('/'))
                && !paths.contains(&path)
            {
                paths.push(path);
            }
        }
        let mut table = format!("| `{place}`, ns |");
        for bindings in COLUMNS {
            let _ = write!(table, " {} |", grouped(f64::from(bindings)));
        }
        table += "\n| --- |";
        table += &" ---: |".repeat(COLUMNS.len());
        table += "\n";
        for path in paths {
            let _ = write!(table, "| {path} |");
            for bindings in COLUMNS {
                match self.find(&format!("{prefix}{path}/{bindings}")) {
                    Some(figure) => {
                        let _ = write!(table, " {} ({}) |", number(figure.p50), number(figure.p99));
                    }
                    None => table += " |",
                }
            }
            table += "\n";
        }
        table
    }

    fn forwarding(&self) -> String {
        let mut table = String::from(
            "| Boxes | Mpps | ns a packet | of redirects, % | × plain forwarding |\n| --- | ---: | ---: | ---: | ---: |\n",
        );
        for figure in self.benchmarks.iter().filter(|figure| figure.unit == "pps") {
            let name = &figure.name;
            let ratio =
                |what: &str| self.find(&format!("{name}/{what}")).map(|ratio| number(ratio.p50)).unwrap_or_default();
            let _ = writeln!(
                table,
                "| {} | {:.2} | {} | {} | {} |",
                name.trim_start_matches("forwarding/"),
                figure.p50 / 1e6,
                number(1e9 / figure.p50),
                ratio("share-of-redirect"),
                ratio("times-plain-forwarding"),
            );
        }
        table
    }

    fn instructions(&self) -> String {
        let mut table = String::from("| Box | Instructions a packet | of `ipip`, % |\n| --- | ---: | ---: |\n");
        for figure in self.benchmarks.iter().filter(|figure| figure.unit == "instructions") {
            let share = self.find(&format!("{}/share-of-ipip", figure.name)).map(|share| number(share.p50));
            let name = figure.name.trim_start_matches("instructions/");
            let _ = writeln!(table, "| {name} | {} | {} |", number(figure.p50), share.unwrap_or_default());
        }
        table
    }

    fn transfer(&self) -> String {
        let mut table = String::from("| Way | Mbit/s | of plain routing, % |\n| --- | ---: | ---: |\n");
        for figure in self.benchmarks.iter().filter(|figure| figure.unit == "Mbit/s") {
            let share = self.find(&format!("{}/share-of-plain", figure.name)).map(|share| number(share.p50));
            let name = figure.name.trim_start_matches("transfer/");
            let _ = writeln!(table, "| {name} | {} | {} |", number(figure.p50), share.unwrap_or_default());
        }
        table
    }

    /// A client that moves: times, and packets.
    fn roam(&self) -> String {
        let mut table =
            String::from("| Time, ms | Median | p90 | p99 | Longest |\n| --- | ---: | ---: | ---: | ---: |\n");
        let mut packets = String::from("\n| Packets, of all roams | |\n| --- | ---: |\n");
        for figure in &self.benchmarks {
            let Some(name) = figure.name.strip_prefix("roam/") else { continue };
            let other = |key: &str| figure.compared_with.get(key).map(|value| number(*value)).unwrap_or_default();
            let (p50, p99) = (number(figure.p50), number(figure.p99));
            let _ = match (figure.unit.as_str(), figure.compared_with.get("of")) {
                ("ms", _) if figure.compared_with.contains_key("p90") => {
                    writeln!(table, "| {name} | {p50} | {} | {p99} | {} |", other("p90"), other("max"))
                }
                ("ms", _) => writeln!(table, "| {name} | | | {p99} | |"),
                (_, Some(of)) => {
                    writeln!(packets, "| {name} | {} of {} |", grouped(figure.p50), grouped(*of))
                }
                (_, None) => {
                    writeln!(packets, "| {name}, median and p99 | {}, {} |", grouped(figure.p50), grouped(figure.p99))
                }
            };
        }
        table + &packets
    }

    /// What agents do: registrations, and their large tables.
    fn agents(&self) -> String {
        let mut table = String::from("| Figure | | Median | Hundredth worst |\n| --- | --- | ---: | ---: |\n");
        let of_agents = |name: &str| name.starts_with("registrations/") || name.starts_with("tables/");
        for figure in self.benchmarks.iter().filter(|figure| of_agents(&figure.name)) {
            let lost = figure.compared_with.get("lost").filter(|lost| **lost > 0.0);
            let lost = lost.map(|lost| format!(", {} lost", number(*lost))).unwrap_or_default();
            let (p50, p99) = (number(figure.p50), number(figure.p99));
            let _ = writeln!(table, "| {}{lost} | {} | {p50} | {p99} |", figure.name, figure.unit);
        }
        table
    }
}

impl Figure {
    fn less_is_better(&self) -> bool {
        matches!(self.unit.as_str(), "ns" | "ms" | "bytes" | "instructions" | "packets")
            || self.name.ends_with("/share-of-ipip")
    }
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => grouped(value),
        middle if middle >= 100.0 => format!("{value:.0}"),
        small if small >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with its digits in groups of three.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_and_picture_show_the_figures_of_the_report_beside_them() {
        let directory = directory();
        let figures = Figures::read(&directory).unwrap();
        let text = fs::read_to_string(directory.join("performance.md")).unwrap();
        let hint = "run `cargo xtask bench document`";
        assert!(figures.fill(&text).unwrap() == text, "docs/performance.md differs from its figures: {hint}");
        let drawn = fs::read_to_string(directory.join("performance.svg")).unwrap();
        assert!(figures.picture() == drawn, "docs/performance.svg differs from its figures: {hint}");
    }

    #[test]
    fn numbers_have_as_many_digits_as_mean_something() {
        for (value, text) in
            [(1_234_567.8, "1,234,568"), (-1_000.0, "-1,000"), (123.4, "123"), (12.34, "12.3"), (1.0, "1.00")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_document_without_a_place_for_figures_is_refused() {
        let figures =
            Figures { machine: String::new(), kernel: String::new(), commit: String::new(), benchmarks: Vec::new() };
        assert!(figures.fill("# Performance\n").unwrap_err().to_string().contains("no place for machine"));
    }
}
