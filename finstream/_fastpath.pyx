# cython: language_level=3
REJECTIONS = ()
MAX_LINE_BYTES = 65536
class NativePump:
    pass
