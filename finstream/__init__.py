"""FinStream: a single-node, live-only pipe for market data."""

from importlib.metadata import version

__version__ = version("finstream")
