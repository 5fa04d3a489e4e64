# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False, embedsignature=True, freethreading_compatible=True
"""Cut a stream of bytes into WebSocket frames, compiled. `_frames.py` has the same in Python, and says what it does."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE


def split(bytes data not None, Py_ssize_t max_bytes):
    cdef const unsigned char* text = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t at
    cdef Py_ssize_t i
    cdef unsigned long long length
    cdef unsigned char first
    cdef list found = []
    while end - start >= 2:
        first = text[start]
        length = text[start + 1]
        if length & 0x80:
            raise ValueError("a frame of the engine is masked")
        at = start + 2
        if length >= 126:
            i = 2 if length == 126 else 8
            if end - at < i:
                break
            length = 0
            while i > 0:
                length = length << 8 | text[at]
                at += 1
                i -= 1
        if length > <unsigned long long> max_bytes:
            raise ValueError(f"a frame of {length} bytes; at most {max_bytes} are taken")
        if length > <unsigned long long> (end - at):
            break
        payload = PyBytes_FromStringAndSize(<char*> text + at, <Py_ssize_t> length)
        if first == 0x81:
            found.append(payload)
        else:
            found.append((first, payload))
        start = at + <Py_ssize_t> length
    return found, start
