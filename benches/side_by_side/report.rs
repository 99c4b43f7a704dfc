//! Figures: measured in turn with their floors, and printed.

use std::io::Write as _;

use crate::ours;

/// One value, in the unit of its figure.
pub(crate) type Sample = f64;

/// What a figure is in. It says whether more is better.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Mebibytes,
    PerSecond,
    /// Items of so many bytes a second, told as MB/s.
    MegabytesOf(u32),
}

impl Unit {
    fn less_is_better(self) -> bool {
        matches!(self, Unit::Micros | Unit::Millis | Unit::Mebibytes)
    }

    fn show(self, value: Sample) -> String {
        match self {
            Unit::Micros => format!("{value:.2} us"),
            Unit::Millis => format!("{value:.2} ms"),
            Unit::Mebibytes => format!("{value:.1} MiB"),
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Unit::PerSecond => format!("{:.0} k/s", value / 1e3),
            Unit::MegabytesOf(len) => format!("{:.0} MB/s", value * f64::from(len) / 1e6),
        }
    }
}

/// What the project wants of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times worse than the floor.
    Ratio(f64),
    /// At least so much, in the figure's unit.
    AtLeast(Sample),
    /// For information.
    None,
}

type Measure = Box<dyn Fn() -> Sample>;

/// A figure: what is measured, and how.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    unit: Unit,
    target: Target,
    floor: Measure,
    ours: Measure,
}

impl Figure {
    pub(crate) fn new(name: &'static str, unit: Unit, target: Target) -> Figure {
        let unset = || -> Measure { Box::new(|| f64::NAN) };
        Figure { name, unit, target, floor: unset(), ours: unset() }
    }

    pub(crate) fn floor(mut self, measure: impl Fn() -> Sample + 'static) -> Figure {
        self.floor = Box::new(measure);
        self
    }

    pub(crate) fn ours(mut self, measure: impl Fn() -> Sample + 'static) -> Figure {
        self.ours = Box::new(measure);
        self
    }

    /// Measures, the executors in turn, and prints its line.
    pub(crate) fn measure(&self, repeats: usize) {
        let mut runs = Runs::default();
        for _ in 0..repeats {
            let floor = (self.floor)();
            let [smol, tokio] = [ours::On::Smol, ours::On::Tokio].map(|on| {
                ours::run_on(on);
                (self.ours)()
            });
            runs.floors.push(floor);
            runs.smol.push(smol);
            runs.tokio.push(tokio);
            runs.to_floor.push(self.worse(smol, floor));
            runs.to_smol.push(self.worse(tokio, smol));
        }
        self.print(runs);
    }

    /// How many times worse one value is than the other.
    fn worse(&self, one: Sample, other: Sample) -> f64 {
        if self.unit.less_is_better() { one / other } else { other / one }
    }

    fn print(&self, mut runs: Runs) {
        let [floor, smol, tokio] =
            [&mut runs.floors, &mut runs.smol, &mut runs.tokio].map(|samples| middle(samples));
        let (ratio, spread) = (middle(&mut runs.to_floor), spread(&runs.to_floor));
        let (between, spread_between) = (middle(&mut runs.to_smol), self::spread(&runs.to_smol));
        let (target, met) = match self.target {
            Target::Ratio(max) => (format!("<= {max}x"), ratio <= max),
            Target::AtLeast(least) => (format!(">= {}", self.unit.show(least)), smol >= least),
            Target::None => ("-".to_owned(), true),
        };
        let [floor, smol, tokio] = [floor, smol, tokio].map(|value| self.unit.show(value));
        let met = if met { "" } else { "  MISSED" };
        let name = self.name;
        println!(
            "| {name:27} | {floor:>10} | {smol:>10} | {ratio:5.2}x | {spread:>11} | {target:>10} \
             | {tokio:>10} | {between:5.2}x | {spread_between:>11} |{met}"
        );
        // Each line as it comes: a run takes minutes. A closed pipe is no reason to fail.
        let _ = std::io::stdout().flush();
    }
}

/// What the repeats of one figure gave.
#[derive(Default)]
struct Runs {
    floors: Vec<Sample>,
    smol: Vec<Sample>,
    tokio: Vec<Sample>,
    to_floor: Vec<f64>,
    to_smol: Vec<f64>,
}

/// The least and the most of sorted ratios.
fn spread(ratios: &[f64]) -> String {
    format!("{:.2}..{:.2}", ratios[0], ratios[ratios.len() - 1])
}

/// Sorts, and gives the middle one.
fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What was run, and the head of the table.
pub(crate) fn head(args: &str, core: Option<usize>, repeats: usize) {
    println!("cargo bench --bench side_by_side -- {args}");
    match core {
        Some(core) => println!("all processes on core {core}; medians of {repeats} repeats"),
        None => println!("NOT PINNED: don't compare; medians of {repeats} repeats"),
    }
    println!(
        "smol: on smol, and how many times worse than the floor, with the spread of the ratio"
    );
    println!("tokio: on its current-thread runtime, and how many times worse than smol");
    println!();
    println!(
        "| figure                      |      floor |       smol |  ratio |      spread |     target \
         |      tokio |  ratio |      spread |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
}
