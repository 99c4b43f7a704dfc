"""What an application for the peer imports: the names that it would import from the reference.

So the functions in ``interop.py`` run with the peer and, where it is installed, with the reference.
"""

from peer.context import Context
from peer.functions import context

__all__ = ["Context", "context"]
