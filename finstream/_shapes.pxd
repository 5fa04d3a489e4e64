# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Ticks that look like earlier ones are read without asking what their members are.

The lines of a program differ in their values only: names, their order, quotes and white space stay. What stands between the
values, the *pieces*, is kept as a tree; one way from its root to a leaf is the shape of a line. A line that finds its pieces in
the tree, and between them values of the kinds that belong there, is read without looking at its names, whether one is repeated, or
where white space is: all that was seen to when the shape was learnt, from a tick that read_line (_ticks) had found to be good.

    {"symbol":" BTC/USDT ","price":" 67123.45 ","ts": 1716230000123456789 }\\n

Whatever is not just so (another piece, an escape in a symbol, an exponent, a price of zero) is left to read_line. It has the last
word, and the only one that is ever heard when a line is refused.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from finstream._decimals cimport read_plain_decimal
from finstream._json cimport is_digit, likely, scan_string, skip_value, unlikely
from finstream._members cimport *
from finstream._scans cimport bytes_equal, is_text, lowest_bit, string_stops, text
from finstream._timestamps cimport NOT_A_TIME, read_time, read_whole_number, scaled_time

cdef enum:
    PIECE_BYTES = 32
    NODES = 512                     # of the tree; 32 KiB, and rarely more than a few dozen are in use
    MAX_SIBLINGS = 16               # that are tried in turn
    IDLE_LINES = 64                 # that nothing is learnt from after one that taught nothing
    MAX_FAILURES = 256              # lessons without room; then all is forgotten, for other programs run now

cdef enum PieceEnd:
    # What follows a piece.
    PIECE, DECIMAL, SYMBOL_TEXT, OTHER_TEXT, INTEGER, BUY_OR_SELL, WHOLE_TIME, TIME_TEXT, ANYTHING, NEXT_LINE

cdef struct Node:
    uint8_t[PIECE_BYTES] piece
    uint32_t wanted                 # a bit for each of its bytes
    uint32_t present                # of a line that ends here: Line.present
    uint16_t child                  # the first of those that may follow; 0: none
    uint16_t sibling                # what else may stand here; 0: nothing
    uint8_t length                  # of the piece
    uint8_t end                     # a PieceEnd
    uint8_t id                      # of the member whose value follows
    uint8_t name_at                 # in the piece: where its name begins
    uint8_t name_length

cdef struct Shapes:
    Node* nodes                     # NODES; the first one is the root, which has no piece
    int count
    int idle                        # so many lines nothing is learnt from
    int failures                    # lessons for which there was no room


cdef inline text end_of_text(text p) noexcept nogil:
    """The first byte that a string cannot simply hold."""
    cdef uint32_t stops = string_stops(p)
    while unlikely(stops == 0):
        p += 16
        stops = string_stops(p)
    return p + lowest_bit(stops)


cdef inline text read_symbol(Line* line, text p, text end) noexcept nogil:
    cdef text stop = end_of_text(p)
    cdef int length = <int> (stop - p), why = 0
    cdef bint escaped = False
    line.symbol.start = p
    if likely(stop[0] == 0x22 and 1 <= length <= 16 and bytes_equal(p, 0x7f) & ((1 << length) - 1) == 0):
        line.symbol.length = length
        return stop
    stop = scan_string(p, end, &escaped, &why)
    if stop == NULL or escaped:
        return NULL
    line.symbol.length = <int> (stop - p)
    return stop if is_symbol(p, line.symbol.length) else NULL


cdef inline text read_other_text(Line* line, int id, text p, text end) noexcept nogil:
    cdef text stop = end_of_text(p)
    cdef Span* span = &line.trade_id if id == TRADE_ID else &line.event_id if id == EVENT_ID else &line.exchange
    cdef bint escaped = False
    cdef int why = 0
    if unlikely(stop[0] != 0x22):
        stop = scan_string(p, end, &escaped, &why)
        if stop == NULL:
            return NULL
    span.start = p
    span.length = <int> (stop - p)
    return stop if likely(1 <= span.length <= (MAX_EXCHANGE if id == EXCHANGE else MAX_IDENTITY)) else NULL


cdef inline text read_integer(Line* line, int id, text p) noexcept nogil:
    cdef text stop = p
    cdef Span* span = &line.trade_id if id == TRADE_ID else &line.event_id
    while is_digit(stop[0]):
        stop += 1
    span.start = p
    span.length = <int> (stop - p)
    if not 1 <= span.length <= MAX_IDENTITY or (p[0] == 0x30 and span.length > 1):
        return NULL
    return stop


cdef inline text read_side(Line* line, text p) noexcept nogil:
    """Without a branch: nobody can foretell which of the two it is."""
    cdef uint32_t word
    cdef bint sell
    memcpy(&word, p, 4)
    line.buy = word & 0xffffff == 0x797562   # buy
    sell = word == 0x6c6c6573
    return p + 3 + sell if likely(line.buy or sell) else NULL


cdef inline text read_value(Parser* parser, Line* line, const Node* node, text piece, text end) noexcept nogil:
    """What follows the node's piece; returns where it ends, or NULL if it is not what belongs there."""
    cdef text p = piece + node.length, stop
    cdef bint escaped = False
    cdef int why = 0, length
    cdef uint64_t whole
    cdef Member* member
    if node.end == DECIMAL:
        length = read_plain_decimal(p, &line.decimals[node.id])
        return p + length if likely(length) else NULL
    if node.end == SYMBOL_TEXT:
        return read_symbol(line, p, end)
    if node.end == OTHER_TEXT:
        return read_other_text(line, node.id, p, end)
    if node.end == WHOLE_TIME:
        stop = read_whole_number(p, &whole)
        line.time = scaled_time(whole) if likely(stop != NULL) else NOT_A_TIME
        return stop if likely(line.time != NOT_A_TIME) else NULL
    if node.end == BUY_OR_SELL:
        return read_side(line, p)
    if node.end == TIME_TEXT:
        stop = end_of_text(p)
        line.time = read_time(p, stop, True, &parser.zone)
        return stop if line.time != NOT_A_TIME else NULL
    if node.end == INTEGER:
        return read_integer(line, node.id, p)
    if node.end == ANYTHING:
        stop = skip_value(p, end, &why)
        member = &parser.members[line.unknown]
        member.id = UNKNOWN
        member.name.start = piece + node.name_at
        member.name.length = node.name_length
        member.value.start = p
        member.value.length = <int> (stop - p)
        line.unknown += stop != NULL
        return stop
    return p


cdef inline text read_by_shape(
    Parser* parser, const Shapes* shapes, Line* line, text p, text end, int64_t received, int64_t future, int64_t max_age
) noexcept nogil:
    """Read the tick at ``p`` if it looks like an earlier one; returns its line feed. Else NULL, and nothing is said about the line.

    There is a line feed at ``end``, which may be behind many lines or in the middle of one.
    """
    cdef const Node* node = shapes.nodes
    cdef text after
    line.unknown = 0
    while True:
        if unlikely(node.child == 0):
            return NULL
        node = &shapes.nodes[node.child]
        while True:
            if likely(is_text(p, node.piece, node.wanted)):
                after = read_value(parser, line, node, p, end)
                if likely(after != NULL):
                    break
            if node.sibling == 0:
                return NULL
            node = &shapes.nodes[node.sibling]
        p = after
        if node.end == NEXT_LINE:
            break
    line.present = node.present
    line.members = line.unknown
    line.kind = TICK
    if unlikely(line.present & (1 << PRICE) and line.decimals[PRICE].zero):
        return NULL
    if unlikely((future >= 0 and line.time - received > future) or (max_age >= 0 and received - line.time > max_age)):
        return NULL
    return p - 1


# --- learning -----------------------------------------------------------------------------------------------------------------


cdef inline int what_follows(const Member* member) noexcept nogil:
    """Which PieceEnd stands before the member's value."""
    cdef bint quoted = member.value.start[0] == 0x22
    if member.id < DECIMALS:
        return DECIMAL
    if member.id == SYMBOL:
        return SYMBOL_TEXT
    if member.id == SIDE:
        return BUY_OR_SELL
    if member.id == TIMESTAMP:
        return TIME_TEXT if quoted else WHOLE_TIME
    if member.id == UNKNOWN:
        return ANYTHING
    return OTHER_TEXT if quoted else INTEGER


cdef inline int plant_piece(Shapes* shapes, int parent, const Node* wanted) noexcept nogil:
    """The child of ``parent`` that is like ``wanted``; a new one if there is none yet; -1 if there is no room for one."""
    cdef uint16_t* link = &shapes.nodes[parent].child
    cdef Node* node
    cdef int siblings = 0
    while link[0]:
        node = &shapes.nodes[link[0]]
        if (node.length == wanted.length and node.end == wanted.end and node.id == wanted.id
                and memcmp(node.piece, wanted.piece, wanted.length) == 0):
            return link[0]
        link = &node.sibling
        siblings += 1
    if shapes.count == NODES or siblings == MAX_SIBLINGS:
        return -1
    shapes.nodes[shapes.count] = wanted[0]
    link[0] = <uint16_t> shapes.count
    shapes.count += 1
    return link[0]


cdef inline int plant(Shapes* shapes, int place, text start, text stop, int end, uint32_t present, const Member* member) noexcept nogil:
    """The bytes from ``start`` to ``stop``, as one piece or several, below ``place``; returns where the last one is, or -1."""
    cdef Node node
    cdef int64_t length
    while True:
        length = stop - start
        if length > PIECE_BYTES:  # the last one is as long as can be: a name must lie in it whole
            length = PIECE_BYTES if length >= 2 * PIECE_BYTES else length - PIECE_BYTES
        node.child = node.sibling = 0
        memset(node.piece, 0, PIECE_BYTES)
        memcpy(node.piece, start, length)
        node.length = <uint8_t> length
        node.wanted = <uint32_t> ((<uint64_t> 1 << length) - 1)
        start += length
        node.end = PIECE
        node.present = node.id = node.name_at = node.name_length = 0
        if start == stop:
            node.end = <uint8_t> end
            node.present = present
            if member != NULL:
                if member.name.start < stop - length:
                    return -1
                node.id = member.id
                node.name_at = <uint8_t> (member.name.start - (stop - length))
                node.name_length = <uint8_t> member.name.length
        place = plant_piece(shapes, place, &node)
        if place < 0 or start == stop:
            return place


cdef inline void learn_shape(Shapes* shapes, const Line* line, const Member* members, text start, text end) noexcept nogil:
    """Remember the shape of the good tick from ``start`` to its line feed at ``end``, as read_line left it."""
    cdef const Member* member
    cdef text value
    cdef int i, follows, place = 0, before = shapes.count
    if shapes.idle:
        shapes.idle -= 1
        return
    for i in range(line.members):
        member = &members[i]
        value = member.value.start
        if member.id == TYPE or (member.id != UNKNOWN and value[0] == 0x6e):
            continue  # "tick", or a null: it is part of the piece
        follows = what_follows(member)
        if follows != ANYTHING and value[0] == 0x22:
            place = plant(shapes, place, start, value + 1, follows, 0, member)
            start = value + member.value.length - 1
        else:
            place = plant(shapes, place, start, value, follows, 0, member)
            start = value + member.value.length
        if place < 0:
            break
    if place >= 0:
        place = plant(shapes, place, start, end + 1, NEXT_LINE, line.present, NULL)
    if shapes.count == before:
        shapes.idle = IDLE_LINES
        shapes.failures += place < 0
        if shapes.failures == MAX_FAILURES:
            forget_shapes(shapes)


cdef inline void forget_shapes(Shapes* shapes) noexcept nogil:
    shapes.count = 1
    shapes.nodes[0].child = 0
    shapes.idle = shapes.failures = 0
