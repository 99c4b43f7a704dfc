"""``python -m peer``: a server, a client or a parent that an actor of ours is tried against.

Each prints one JSON object a line, and ends with 0, 1 (the other side did something else than
expected), 70 (it did what would end a Python peer) or 75 (the deadline).
"""

from __future__ import annotations

import argparse
import shlex
import sys

from . import addresses, discovery, programs, steps
from .ends import DEADLINE, exit_code
from .remote import Remote

NS = Remote.ns


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="peer", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    _server(roles.add_parser("server", help="is found at a registrar, and called"))
    _client(roles.add_parser("client", help="calls an actor, or tries a registrar"))
    _parent(roles.add_parser("parent", help="starts a program as its child"))
    return parser


def _common(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--name", default=name, help="our name")
    parser.add_argument("--deadline", type=float, default=DEADLINE, help="in seconds")
    parser.add_argument(
        "--bind",
        type=addresses.parse,
        default=("127.0.0.1", 0),
        help="where we listen; by default any TCP port",
    )


def _server(parser: argparse.ArgumentParser) -> None:
    _common(parser, "pyserver")
    parser.add_argument(
        "--registrar", type=addresses.parse, help="where to register; without it we are one"
    )
    parser.add_argument("--module", action="append", help=f"may be called; by default {NS}")


def _client(parser: argparse.ArgumentParser) -> None:
    _common(parser, "pyclient")
    parser.add_argument("--registrar", type=addresses.parse, required=True)
    parser.add_argument("--find", help="the actor to call; without it the registrar is tried")
    parser.add_argument("--wait", action="store_true", help="wait until it is registered")
    _steps(parser, [*steps.ALL, *discovery.ALL])


def _parent(parser: argparse.ArgumentParser) -> None:
    _common(parser, "pyparent")
    parser.add_argument("--exec", type=shlex.split, required=True, help="the child's program")
    parser.add_argument("--child", default="child", help="its name")
    _steps(parser, list(steps.ALL))


def _steps(parser: argparse.ArgumentParser, names: list[str]) -> None:
    parser.add_argument("--ns", default=NS, help="the module that the functions are in")
    parser.add_argument("--other", help="one more actor with them, for the step relay")
    parser.add_argument("steps", nargs="*", help="by default all: " + ", ".join(names))


def main() -> int:
    """The command line."""
    options = _parser().parse_args()
    if getattr(options, "module", 0) is None:
        options.module = [NS]
    return exit_code(getattr(programs, options.role), options)


if __name__ == "__main__":
    sys.exit(main())
