"""Ingestors that come with FinStream: programs that print market data, one JSON object per line.

Each is started with ``python -m finstream_ingestors.NAME`` and has ``--help``. They speak the protocol of
``docs/ingestor-protocol.md`` and know nothing of the engine. What venue ingestors share is in ``kit``.
"""
