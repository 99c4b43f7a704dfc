"""What a parent tells its child (§3.2)."""

from __future__ import annotations

from typing import Any

from .messages import Address, SpawnSpec

LOCK_MODULE = "tractor.devx.debug._tty_lock"
"""Children of the base's root may be asked by their debugger; it is named to them."""


def transport_of(addr: Address) -> str:
    """The name under which a child may use that kind of address."""
    return "uds" if isinstance(addr[1], str) else "tcp"


def root_vars(own: Address, registrars: list[Address], debug: bool = False) -> dict[str, Any]:
    """The tree's facts, as its root knows them; every actor hands them on unchanged."""
    return {
        "_is_root": False,
        "_root_mailbox": own,
        "_root_addrs": [own],
        "_enable_tpts": [transport_of(own)],
        "_registry_addrs": registrars,
        "_debug_mode": debug,
        "repl_fixture": False,
        "use_greenback": False,
        "use_stackscope": False,
        "_is_infected_aio": False,
    }


def spawn_spec(
    runtime_vars: dict[str, Any],
    registrars: list[Address],
    modules: dict[str, str],
    main: dict[str, str] | None = None,
) -> SpawnSpec:
    """The instructions; where to listen is left to the child."""
    return SpawnSpec(main or {}, runtime_vars, modules, registrars, None)
