"""A peer of the base protocol, written from its description alone.

It exists to test the actors of this repository against something that shares no code with them,
and that is as strict as the Python reference: what would end the reference's process ends this one
with :class:`peer.faults.WouldCrash`. Citations like ``§6.4`` are of ``docs/protocol.md``.

The protocol itself (``frames``, ``messages``, ``errors``, ``registry``, ``dialogs``, ``session``,
``actor``) does no input or output, so that recordings can be replayed on it; ``host`` runs it over
sockets, and ``__main__`` is the command line.
"""
