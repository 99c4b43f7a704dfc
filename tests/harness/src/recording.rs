//! Dialogs of the Python reference as they were recorded: every frame with who sent it to whom, and
//! what happened to connections and processes meanwhile.
//!
//! One file a scenario, one JSON object a line. What was recorded is in `core/tests/transcripts`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// One recorded scenario.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The file's name, without its end.
    pub name: String,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the recording.
    pub seq: u64,
    /// When, from the recording's begin.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// An actor wrote a frame.
    Frame(Recorded),
    /// A process began; `child` is the name and the uuid it was given by its parent.
    Began {
        /// Its process id.
        pid: u64,
        /// Name and uuid, unless it is a program of its own.
        child: Option<(String, String)>,
    },
    /// A process ended by itself.
    Exited {
        /// Its process id.
        pid: u64,
    },
    /// An actor closed its end of a connection.
    Closed {
        /// The connection.
        conn: String,
        /// The actor's name.
        by: String,
    },
    /// An actor found a connection at its end, or broken.
    Ended {
        /// The connection.
        conn: String,
        /// The actor's name.
        by: String,
        /// What the transport said; `None` is a clean end.
        why: Option<String>,
    },
}

/// One recorded frame.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where it is from, for failures.
    pub place: String,
    /// Its number in the recording.
    pub seq: u64,
    /// The connection.
    pub conn: String,
    /// Who wrote it.
    pub from: String,
    /// Who was to read it.
    pub to: String,
    /// With its length prefix.
    pub frame: Vec<u8>,
    /// The body as the recorder understood it.
    pub msg: Value,
    /// Whether it got onto the wire: some were written to a socket that was closed.
    pub sent: bool,
}

impl Recorded {
    /// Without the length prefix.
    pub fn body(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.frame[4..])
    }

    /// A field of the message that is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.msg[key].as_str()
    }

    /// The message's tag.
    pub fn tag(&self) -> &str {
        self.text("msg_type").unwrap_or_default()
    }

    /// The name of the dialog it belongs to.
    pub fn cid(&self) -> Option<&str> {
        self.text("cid")
    }

    /// What a `Start` asks for: module and function.
    pub fn func(&self) -> Option<String> {
        Some(format!("{}.{}", self.text("ns")?, self.text("func")?))
    }
}

impl Recording {
    /// The frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = &Recorded> {
        self.steps.iter().filter_map(|step| match &step.what {
            What::Frame(frame) => Some(frame),
            _ => None,
        })
    }
}

/// All recordings in a directory, by name; under Miri, which takes minutes for the others, the
/// shortest.
pub fn read_all(dir: &Path) -> Vec<Recording> {
    let entries = std::fs::read_dir(dir).expect("the recordings are there");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "jsonl"));
    if cfg!(miri) {
        files.retain(|path| path.metadata().is_ok_and(|file| file.len() < 8000));
    }
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Recording {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("a recording can be read");
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a line is an object");
        if line["event"] == "tx_err" {
            // What was written last did not get onto the wire.
            let Some(What::Frame(frame)) = steps.last_mut().map(|step| &mut step.what) else {
                panic!("{name}: a failed write without its frame");
            };
            frame.sent = false;
            continue;
        }
        let Some(what) = read_step(&name, &line) else { continue };
        let at = Duration::from_secs_f64(line["t"].as_f64().expect("each has its time"));
        steps.push(Step { seq: number(&line, "seq"), at, what });
    }
    Recording { name, steps }
}

fn read_step(name: &str, line: &Value) -> Option<What> {
    let by = || (text(line, "conn"), text(line, "by"));
    if line.get("hex").is_some() {
        return Some(What::Frame(read_frame(name, line)));
    }
    Some(match line["event"].as_str()? {
        "proc_start" => What::Began { pid: number(line, "pid"), child: read_uid(line) },
        "proc_exit" => What::Exited { pid: number(line, "pid") },
        "close" => {
            let (conn, by) = by();
            What::Closed { conn, by }
        }
        "eof" | "rx_err" => {
            let (conn, by) = by();
            let why = line["err"].as_str().map(String::from);
            What::Ended { conn, by, why }
        }
        other => panic!("{name}: nothing is known of the event `{other}`"),
    })
}

fn read_frame(name: &str, line: &Value) -> Recorded {
    let frame = unhex(&text(line, "hex"));
    assert_eq!(frame.len() as u64 - 4, number(line, "len"), "{name}: a frame of another length");
    let seq = number(line, "seq");
    Recorded {
        place: format!("{name} seq {seq}"),
        seq,
        conn: text(line, "conn"),
        from: text(line, "from"),
        to: text(line, "to"),
        frame,
        msg: line["msg"].clone(),
        sent: true,
    }
}

/// The name and the uuid that a child was given on its command line: `('name', 'uuid')`.
fn read_uid(line: &Value) -> Option<(String, String)> {
    let args = line["orig_argv"].as_array()?;
    let at = args.iter().position(|arg| arg == "--uid")?;
    let mut quoted = args.get(at + 1)?.as_str()?.split('\'').skip(1).step_by(2);
    Some((quoted.next()?.into(), quoted.next()?.into()))
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().expect("a text").into()
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().expect("a number")
}

/// Bytes from hex; blanks are for the reader.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
