"""Coinbase: two feeds of one exchange, which share trade ids but not their messages.

``exchange`` has every match at once; its quotes come with trades only. ``advanced`` has numbered messages and a quote
for every change, but batches trades for up to 250 ms. Both name the maker's side, so it is inverted.
"""
