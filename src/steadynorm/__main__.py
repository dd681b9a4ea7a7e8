"""``python -m steadynorm`` is the command ``steadynorm``, as ``torchrun -m`` needs it."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
