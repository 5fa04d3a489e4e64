"""Subscribe to the ticks of a FinStream engine.

    from finstream_client import connect

    for tick in connect("http://127.0.0.1:8080").stream("binance:BTC/USDT"):
        print(tick.symbol, tick.price)

:func:`connect` is for programs that block. `finstream_client.asyncio` and `finstream_client.trio` have the same for
their event loops.
"""

from finstream_client.backoff import Backoff
from finstream_client.errors import Closed, Ended, FinStreamError, ProtocolViolation, Refused, Unreachable
from finstream_client.messages import (
    AssetState,
    Choices,
    Data,
    Error,
    Gap,
    Goodbye,
    Health,
    Message,
    Other,
    Pong,
    Subscribed,
    Switch,
    Tick,
    Unsubscribed,
    Warning,  # noqa: A004 - the engine's word
    Welcome,
    decode,
)
from finstream_client.notices import Connected, Disconnected, Lost, Notice, Receipt, Registered, Retrying
from finstream_client.rest import ArenaRow, Asset, AsyncRest, Market, Rest, Symbol
from finstream_client.sync import Client, connect
from finstream_client.tables import to_pandas, to_polars

__all__ = [
    "ArenaRow", "Asset", "AssetState", "AsyncRest", "Backoff", "Choices", "Client", "Closed", "Connected", "Data", "Disconnected",
    "Ended", "Error", "FinStreamError", "Gap", "Goodbye", "Health", "Lost", "Market", "Message", "Notice", "Other", "Pong",
    "ProtocolViolation", "Receipt", "Refused", "Registered", "Rest", "Retrying", "Subscribed", "Switch", "Symbol", "Tick",
    "Unreachable", "Unsubscribed", "Warning", "Welcome", "connect", "decode", "to_pandas", "to_polars",
]  # fmt: skip
