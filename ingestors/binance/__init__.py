"""Binance spot: the trade and bookTicker streams of each symbol, joined into ticks."""
