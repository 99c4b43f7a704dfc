//! Where our cores do otherwise than the reference, on purpose. All else is compared byte for byte.

use tractor_harness::replay::Difference;
use tractor_harness::replay::Differs::{
    self, AfterItsEnd, CutShort, FailsBehind, FailsInstead, Instead, KeepsSource, NotSent, Protests,
};

/// Why something is different, and where that is written.
type Reason = (&'static str, &'static str);

const AFTER_ITS_END: Reason = ("an actor that ends opens no connection", "§6.6");
const ASKED_ONCE: Reason = ("a child is asked to end once", "§7.6");
const ENDED: Reason = ("a side that has its outcome says nothing more in the dialog", "§6.8");
const OVERRUN_ONCE: Reason = ("an overrun is told once, and is the outcome", "§6.7");
const CROSSED: Reason = ("no `Stop` to a base caller that sent its own", "§6.3");
const FOREIGN_TARGET: Reason = ("only a dialog of ours is cancelled", "§6.4");
const ENCODING: Reason = ("what can't be encoded is the task's error, not its silence", "§6.8");
const STARTED_FIRST: Reason = ("a context returns only after `Started`", "§6.2");
const CLOSED_SET: Reason =
    ("an unknown function of the runtime is answered, and kills nobody", "§3.3");
const SOURCE: Reason = ("an error says where it happened, however often it is sent on", "§3.4");
const YOUNGEST: Reason = ("of several with a name the youngest is found", "§6.6");
const OWN_RECORD: Reason = ("an actor registers only itself", "§6.6");

const fn at(
    dialog: &'static str,
    seqs: &'static [u64],
    what: Differs,
    (why, section): Reason,
) -> Difference {
    Difference { dialog, seqs, what, why, section }
}

/// All of them, by recording and by the numbers of the frames there.
pub(crate) const ALL: &[Difference] = &[
    at("b_spawn_cancel", &[18], AfterItsEnd, AFTER_ITS_END),
    at("c_run_values", &[125], AfterItsEnd, AFTER_ITS_END),
    at("c2_unencodable", &[20, 49, 77, 107, 135, 162, 189], AfterItsEnd, AFTER_ITS_END),
    // Cancelled while they boot: they acknowledge at once, and never register.
    at("c2_unencodable", &[125, 151, 179], AfterItsEnd, AFTER_ITS_END),
    at("c2_unencodable", &[15, 44, 73], FailsBehind("TypeError"), ENCODING),
    at("d_errors", &[33], Instead(UNKNOWN_FUNCTION), CLOSED_SET),
    at("d_errors", &[34], NotSent, CLOSED_SET),
    at("d2_relay3", &[50, 67, 84], AfterItsEnd, AFTER_ITS_END),
    at("d2_relay3", &[49, 65, 82], NotSent, ASKED_ONCE),
    at("d2_relay3", &[78], KeepsSource, SOURCE),
    at("e_context_simple", &[38], AfterItsEnd, AFTER_ITS_END),
    at("e_context_simple", &[25], NotSent, ENDED),
    at("e_context_simple", &[34], FailsInstead("RuntimeError"), STARTED_FIRST),
    at("e_context_simple", &[32], Protests(NEVER_STARTED), STARTED_FIRST),
    at("f_stream_bidir", &[45], AfterItsEnd, AFTER_ITS_END),
    at("g_ctx_cancel_by_caller", &[55], AfterItsEnd, AFTER_ITS_END),
    at("g_ctx_cancel_by_caller", &[30], NotSent, ENDED),
    at("g_ctx_cancel_by_caller", &[48], NotSent, FOREIGN_TARGET),
    at("h_ctx_cancel_other", &[54, 71], AfterItsEnd, AFTER_ITS_END),
    at("i_overrun", &[456, 471], AfterItsEnd, AFTER_ITS_END),
    // The caller is too slow: the reference tells of each item that is too much.
    at("i_overrun", &[88, 89, 90, 91, 92, 94], NotSent, OVERRUN_ONCE),
    at("i_overrun", &[95], NotSent, ENDED),
    // The callee is too slow. A core of ours says so 15 items earlier than the recorded one could.
    at("i_overrun", &TOO_MANY_TOLD, NotSent, OVERRUN_ONCE),
    at("i_overrun", &[192], NotSent, ENDED),
    at("i_overrun", &ITEMS_BEHIND_OVERRUN, CutShort, ENDED),
    at("j_asyncgen", &[53], AfterItsEnd, AFTER_ITS_END),
    at("j_asyncgen", &[20, 37, 38, 46], NotSent, ENDED),
    at("k_run_in_actor", &[20, 50, 82], AfterItsEnd, AFTER_ITS_END),
    at("l_discovery", &[181, 212, 217, 222, 228], AfterItsEnd, AFTER_ITS_END),
    at("l_discovery", &[76], Instead(YOUNGEST_FOUND), YOUNGEST),
    at("l_discovery", &[84], NotSent, OWN_RECORD),
    at("l_discovery", &[85], Instead(NOT_REGISTERED), OWN_RECORD),
    at("l_discovery", &[88], Instead("Return self.find_actor#4 nil"), OWN_RECORD),
    at("l_discovery", &[96], Instead("Return self.find_actor#5 nil"), OWN_RECORD),
    at("l_discovery", &[99], Instead("Return self.delete_addr#2 nil"), OWN_RECORD),
    at("m_msgtype", &[24, 58, 98, 135], AfterItsEnd, AFTER_ITS_END),
    at("m_msgtype", &[23, 60, 96, 134], NotSent, ASKED_ONCE),
    at("m_msgtype", &[17, 52, 127], NotSent, ENDED),
    at("m_msgtype", &[90], NotSent, CROSSED),
    at("m2_unencodable_stream", &[22], AfterItsEnd, AFTER_ITS_END),
    at("m2_unencodable_stream", &[17], FailsBehind("TypeError"), ENCODING),
    at("n_uds", &[21], AfterItsEnd, AFTER_ITS_END),
    at("o_abrupt", &[44], NotSent, ENDED),
    at("p_sigint", &[37, 51], AfterItsEnd, AFTER_ITS_END),
    at("p_sigint", &[48, 49], NotSent, ASKED_ONCE),
];

const UNKNOWN_FUNCTION: &str = "Error self.nope_method AttributeError via child";
const NEVER_STARTED: &str = "Error eps.never_started Violation via root";
const YOUNGEST_FOUND: &str = "Return self.find_actor#3 /ip4/127.0.0.1/tcp/41291";
const NOT_REGISTERED: &str = "Error self.register_actor#6 PermissionError via root";

/// The overrun's further errors, the stream's end, and the cancellation that was asked for late.
const TOO_MANY_TOLD: [u64; 17] =
    [180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 193, 194, 195, 197, 198];
const ITEMS_BEHIND_OVERRUN: [u64; 15] =
    [164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 174, 175, 176, 177, 178];
