//! Figures: measured in turn with their floors, and printed.

use std::io::Write as _;

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

    /// Measures and prints its line.
    pub(crate) fn measure(&self, repeats: usize) {
        let (mut floors, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repeats {
            let (floor, our) = ((self.floor)(), (self.ours)());
            ratios.push(if self.unit.less_is_better() { our / floor } else { floor / our });
            floors.push(floor);
            ours.push(our);
        }
        self.print(middle(&mut floors), middle(&mut ours), &mut ratios);
    }

    fn print(&self, floor: Sample, ours: Sample, ratios: &mut [f64]) {
        let ratio = middle(ratios);
        let spread = (ratios[0], ratios[ratios.len() - 1]);
        let (target, met) = match self.target {
            Target::Ratio(max) => (format!("<= {max}x"), ratio <= max),
            Target::AtLeast(least) => (format!(">= {}", self.unit.show(least)), ours >= least),
            Target::None => ("-".to_owned(), true),
        };
        let (floor, ours) = (self.unit.show(floor), self.unit.show(ours));
        let spread = format!("{:.2}..{:.2}", spread.0, spread.1);
        let met = if met { "" } else { "  MISSED" };
        let name = self.name;
        println!(
            "| {name:27} | {floor:>11} | {ours:>11} | {ratio:6.2}x | {spread:>12} | {target:>12} |{met}"
        );
        // Each line as it comes: a run takes minutes. A closed pipe is no reason to fail.
        let _ = std::io::stdout().flush();
    }
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
    println!("the ratio says how many times worse than the floor; the spread is of the ratio");
    println!();
    println!(
        "| figure                      |       floor |        ours |   ratio |       spread |       target |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
}
