"""How the outside talks to the engine: two REST listeners (public, admin) and the stream.

What a request may be and what it is answered is plain data: ``routes`` (REST), ``conversation`` (stream). ``http``
and ``stream`` do the input and output.
"""
