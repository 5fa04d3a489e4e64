"""The configurations that ship with FinStream, importable as ``finstream.defaults`` for the installed program to find them."""
