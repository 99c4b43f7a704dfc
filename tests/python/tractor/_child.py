"""What a parent starts as ``python -m tractor._child`` (§7.2)."""

import sys

from peer.child import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
