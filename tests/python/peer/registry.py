"""Who is where: the table of a registrar, with the base's rules (§6.6, §9)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from .messages import Address, Uid


class Registry:
    """Records in the order in which they came."""

    def __init__(self) -> None:
        self._records: dict[Uid, list[Address]] = {}
        self._waiters: list[tuple[str, Callable[[list[Address]], None]]] = []

    def register(self, uid: Uid, addr: Address) -> None:
        """An address has one owner, the last who said so."""
        self.delete_addr(addr)
        self._records.setdefault(uid, []).append(addr)
        waiters, self._waiters = self._waiters, []
        for name, answer in waiters:
            self.wait(name, answer)

    def unregister(self, uid: Uid) -> None:
        """Also when there is no record."""
        self._records.pop(uid, None)

    def find(self, name: str) -> list[Address] | None:
        """The addresses of the oldest record of that name, or of that uuid."""
        return next((addrs for uid, addrs in self._records.items() if name in uid), None)

    def wait(self, name: str, answer: Callable[[list[Address]], None]) -> None:
        """Answers with all addresses of that name, once there is one."""
        found = [addr for uid, addrs in self._records.items() if uid[0] == name for addr in addrs]
        if found:
            answer(found)
        else:
            self._waiters.append((name, answer))

    def delete_addr(self, addr: Address) -> Uid | None:
        """Whose it was."""
        owner = next((uid for uid, addrs in self._records.items() if addr in addrs), None)
        if owner is not None:
            self._records[owner].remove(addr)
            if not self._records[owner]:
                del self._records[owner]
        return owner

    def table(self) -> dict[str, list[Address]]:
        """Everything, by ``name.uuid``."""
        return {".".join(uid): list(addrs) for uid, addrs in self._records.items()}


def is_valid(addr: Address) -> bool:
    """Whether the base takes it; raises ``ValueError`` for a host's name."""
    host, port = addr
    if isinstance(port, str):
        return True
    ip = ipaddress.ip_address(host)
    return (
        port != 0
        and (ip.is_private or ip.is_loopback)
        and not (ip.is_unspecified or ip.is_multicast or ip.is_link_local)
    )
