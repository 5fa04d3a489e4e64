"""``python -m finstream.cli``: the same as ``finstream``, where no script is installed."""

from finstream.cli import main

main()
