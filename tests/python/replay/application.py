"""What the recorded programs were: their functions, and what they do that is not seen."""

from __future__ import annotations

from peer.functions import Function

# What was called, and how: the signatures decide about wrong arguments.
_KINDS = {
    "asyncfunc": {
        "add": lambda x, y=1: 0,
        "MyErr": None,
        "boom": lambda: 0,
        "assert_err": lambda: 0,
        "custom_err": lambda: 0,
        "group_err": lambda: 0,
        "noop": lambda: 0,
        "echo": lambda val: 0,
        "ret_kind": lambda kind: 0,
        "ret_special": lambda kind: 0,
        "sleep_rpc": lambda t: 0,
        "cancel_other": lambda name: 0,
        "spawn_and_fail": lambda depth: 0,
    },
    "asyncgen": {
        "gen": lambda n: 0,
        "gen_forever": lambda: 0,
        "gen_err": lambda: 0,
        "old_stream": lambda n: 0,
    },
    "context": {
        "simple": lambda ctx, a=None, ret=None: 0,
        "ctx_error_before_started": lambda ctx: 0,
        "ctx_error_after_started": lambda ctx: 0,
        "never_started": lambda ctx: 0,
        "sleep_forever": lambda ctx: 0,
        "self_cancel": lambda ctx: 0,
        "stream_forever": lambda ctx: 0,
        "stream_then_die": lambda ctx: 0,
        "echo_stream": lambda ctx: 0,
        "child_sends": lambda ctx, n: 0,
        "child_sends_fast": lambda ctx, n: 0,
        "slow_reader": lambda ctx: 0,
        "bad_started": lambda ctx: 0,
        "bad_return": lambda ctx: 0,
        "bad_yield": lambda ctx: 0,
        "recv_ints": lambda ctx: 0,
        "send_unencodable": lambda ctx: 0,
        "pauser": lambda ctx: 0,
    },
}
MODULES: dict[str, dict[str, Function | None]] = {
    "eps": {
        name: Function(kind, call) if call else None
        for kind, functions in _KINDS.items()
        for name, call in functions.items()
    },
    "tractor.devx.debug._tty_lock": {
        "lock_stdio_for_peer": Function("context", lambda ctx, subactor_task_uid: 0)
    },
}

# Contexts that open their end of the stream once they have started.
STREAMING = {
    "echo_stream",
    "child_sends",
    "child_sends_fast",
    "slow_reader",
    "bad_yield",
    "recv_ints",
    "stream_forever",
    "stream_then_die",
    "lock_stdio_for_peer",
    "send_unencodable",
}
# Applications that don't read what comes after the beginning: (recording, function, whether it is
# the caller, which of several).
DEAF = {
    ("g_ctx_cancel_by_caller", "stream_forever", True, 1),
    ("q_debug", "lock_stdio_for_peer", True, 1),
    ("i_overrun", "child_sends_fast", True, 1),
    ("i_overrun", "slow_reader", False, 1),
    ("m_msgtype", "bad_yield", False, 1),
}
# Where a task's last word can't be encoded, so that nothing is said.
SILENT = {"c2_unencodable", "m2_unencodable_stream"}
