//! One-line faults of the core that the simulation has to find: `planted.txt`.

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// What is wrong.
    pub name: String,
    /// Where, from the root of the repository.
    pub file: String,
    /// What stands there.
    pub old: String,
    /// What is put in its place.
    pub new: String,
}

impl Planted {
    /// Whether its place is in the file, once.
    pub fn fits(&self, text: &str) -> bool {
        text.matches(self.old.as_str()).count() == 1
    }
}

/// The list: a head, then for each fault its name, its file, lines that go and lines that come.
pub fn parse(text: &str) -> Vec<Planted> {
    let blocks = text.split("\n\n").skip(1);
    let lines_of = |block: &str, sign: char| {
        let lines = block.lines().skip(2).filter_map(|line| line.strip_prefix(sign));
        lines.collect::<Vec<&str>>().join("\n")
    };
    blocks
        .map(|block| {
            let mut head = block.lines();
            let name = head.next().and_then(|line| line.strip_prefix("# ")).expect("a name");
            let file = head.next().expect("a file");
            Planted {
                name: name.into(),
                file: file.into(),
                old: lines_of(block, '-'),
                new: lines_of(block, '+'),
            }
        })
        .collect()
}
