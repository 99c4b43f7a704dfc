//! A run as a sequence chart in Mermaid, inside a page that a browser shows.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::run::Report;
use super::trace::Note;

/// The page. Without a network it shows the chart's text, which is readable by itself.
pub fn page(title: &str, report: &Report) -> String {
    let mut chart = String::from("sequenceDiagram\n");
    let mut seen = BTreeSet::new();
    for (_, note) in &report.notes {
        match note {
            Note::Message { from, to, .. } => seen.extend([*from, *to]),
            Note::At { host, .. } => drop(seen.insert(*host)),
            Note::World(_) => {}
        }
    }
    for host in &seen {
        let _ = writeln!(chart, "  participant h{host} as {}", report.names[*host]);
    }
    let any = seen.first().copied().unwrap_or_default();
    for (at, note) in &report.notes {
        let time = at.since_epoch().as_micros();
        let _ = match note {
            Note::Message { from, to, text } => {
                writeln!(chart, "  h{from}->>h{to}: {time} us: {}", plain(text))
            }
            Note::At { host, text } => {
                writeln!(chart, "  Note over h{host}: {time} us: {}", plain(text))
            }
            Note::World(text) => writeln!(chart, "  Note over h{any}: {time} us: {}", plain(text)),
        };
    }
    for (check, what) in &report.broken {
        let _ = writeln!(chart, "  Note over h{any}: BROKEN: {check}: {}", plain(what));
    }
    let script = "https://cdn.jsdelivr.net/npm/mermaid@11/dist/mermaid.esm.min.mjs";
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{title}</title>\n<pre class=\"mermaid\">\n\
         {chart}</pre>\n<script type=\"module\">import mermaid from \"{script}\";\n\
         mermaid.initialize({{ startOnLoad: true, maxTextSize: 1e7 }});</script>\n"
    )
}

/// Without what means something in a chart or a page.
fn plain(text: &str) -> String {
    let mapped = text.chars().map(|c| match c {
        ';' | '#' | '<' | '>' | '&' | '\n' => ' ',
        c => c,
    });
    mapped.collect()
}
