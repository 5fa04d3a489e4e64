"""Kraken spot, WebSocket API v2: the trade and ticker channels of each pair, joined into ticks."""
