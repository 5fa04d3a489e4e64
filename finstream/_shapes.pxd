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
from finstream._decimals cimport is_zero, read_plain_decimal
from finstream._json cimport is_digit, likely, scan_string, skip_value, unlikely
from finstream._members cimport *
from finstream._scans cimport bytes_equal, common, lowest_bit, string_stops, symbol_stops, text
from finstream._timestamps cimport NOT_A_TIME, read_time

cdef enum:
    PIECE_BYTES = 16
    NODES = 1024                    # of the tree; rarely more than a few dozen are in use
    MAX_SIBLINGS = 16               # that are tried in turn
    IDLE_LINES = 64                 # that nothing is learnt from after one that taught nothing
    MAX_FAILURES = 256              # lessons without room; then all is forgotten, for other programs run now

cdef enum PieceEnd:
    # What follows a piece.
    PIECE, DECIMAL, SYMBOL_TEXT, OTHER_TEXT, INTEGER, BUY_OR_SELL, WHOLE_TIME, TIME_TEXT, ANYTHING, NEXT_LINE

cdef struct Node:
    uint8_t[PIECE_BYTES] piece
    uint32_t wanted                 # a bit for each of its bytes
    uint8_t length                  # of the piece
    uint8_t end                     # a PieceEnd
    uint8_t id                      # of the member whose value follows
    uint8_t name_length
    Node* child                     # the first of those that may follow
    Node* sibling                   # what else may stand here
    uint32_t present                # of a line that ends here: Line.present
    uint8_t name_back               # so far before the value its name begins
    uint32_t usual_end
    uint8_t usual                   # length of the text that follows

cdef struct Shapes:
    Node* nodes                     # NODES
    Node* nowhere                   # stands for none: no line has its piece
    Node* root                      # has no piece
    int count
    int idle                        # so many lines nothing is learnt from
    int failures                    # lessons for which there was no room


cdef inline text read_symbol(Line* line, text p, text end) noexcept nogil:
    cdef uint32_t quotes = bytes_equal(p, 0x22)
    cdef int64_t length = lowest_bit(quotes | 1 << 16)
    line.symbol.start = p
    line.symbol.length = <int> length
    if likely((length != 0) & (quotes != 0) & (lowest_bit(symbol_stops(p) | 1 << 16) == length)):
        return p + length
    return read_odd_symbol(line, p, end)


cdef inline text read_odd_symbol(Line* line, text p, text end) noexcept nogil:
    cdef bint escaped = False
    cdef int why = 0
    cdef text stop = scan_string(p, end, &escaped, &why)
    if stop == NULL or escaped:
        return NULL
    line.symbol.length = <int> (stop - p)
    return stop if is_symbol(p, line.symbol.length) else NULL


cdef inline text read_other_text(Line* line, Node* node, text p, text end) noexcept nogil:
    cdef Span* span = &line.trade_id if node.id == TRADE_ID else &line.event_id if node.id == EVENT_ID else &line.exchange
    cdef uint32_t stops = string_stops(p)
    cdef int64_t length
    span.start = p
    if likely(stops & (0 - stops) == node.usual_end and p[node.usual] == 0x22):  # then nothing has to wait for the length to be known
        span.length = node.usual
        return p + node.usual
    length = lowest_bit(stops | 1 << 16)
    span.length = <int> length
    if likely((p[length] == 0x22) & (length != 0)):
        node.usual = <uint8_t> length
        node.usual_end = <uint32_t> 1 << length
        return p + length
    return read_odd_text(span, MAX_EXCHANGE if node.id == EXCHANGE else MAX_IDENTITY, p, end)


cdef inline text read_odd_text(Span* span, int most, text p, text end) noexcept nogil:
    cdef bint escaped = False
    cdef int why = 0
    cdef text stop = scan_string(p, end, &escaped, &why)
    if stop == NULL:
        return NULL
    span.length = <int> (stop - p)
    return stop if 1 <= span.length <= most else NULL


cdef inline text read_integer(Line* line, int id, text p) noexcept nogil:
    cdef Span* span = &line.trade_id if id == TRADE_ID else &line.event_id
    cdef text stop = p
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
    return p + 3 + sell if likely(line.buy | sell) else NULL


cdef inline text read_time_text(Parser* parser, Line* line, text p, text end) noexcept nogil:
    cdef bint escaped = False
    cdef int why = 0
    cdef text stop = scan_string(p, end, &escaped, &why)
    if stop == NULL or escaped:
        return NULL
    line.time = read_time(p, stop, True, &parser.zone)
    line.stamp = NULL
    return stop if line.time != NOT_A_TIME else NULL


cdef inline text read_anything(Parser* parser, Line* line, Node* node, text p, text end) noexcept nogil:
    """A member that is passed on as it is."""
    cdef Member* member = &parser.members[line.unknown]
    cdef int why = 0
    cdef text stop = skip_value(p, end, &why)
    member.id = UNKNOWN
    member.name.start = p - node.name_back
    member.name.length = node.name_length
    member.value.start = p
    member.value.length = <int> (stop - p)
    line.unknown += stop != NULL
    return stop


cdef inline text read_value(Parser* parser, Line* line, Node* node, text p, text end) noexcept nogil:
    """What follows the node's piece, at ``p``; returns where it ends, or NULL if it is not what belongs there."""
    cdef int length
    if node.end == DECIMAL:
        length = read_plain_decimal(p, &line.decimals[node.id])
        return p + length if likely(length) else NULL
    elif node.end == SYMBOL_TEXT:
        return read_symbol(line, p, end)
    elif node.end == OTHER_TEXT:
        return read_other_text(line, node, p, end)
    elif node.end == WHOLE_TIME:
        return read_whole_time(line, p)
    elif node.end == BUY_OR_SELL:
        return read_side(line, p)
    elif node.end == TIME_TEXT:
        return read_time_text(parser, line, p, end)
    elif node.end == INTEGER:
        return read_integer(line, node.id, p)
    elif node.end == ANYTHING:
        return read_anything(parser, line, node, p, end)
    return p


cdef inline text read_by_shape(
    Parser* parser, const Shapes* shapes, Line* line, text p, text end, int64_t received, int64_t future, int64_t max_age
) noexcept nogil:
    """Read the tick at ``p`` if it looks like an earlier one; returns its line feed. Else NULL, and nothing is said about the line.

    There is a line feed at ``end``, which may be behind many lines or in the middle of one.
    """
    cdef Node* node = shapes.root
    cdef text after
    line.unknown = 0
    while True:
        node = node.child
        while True:
            if likely(common(p, node.piece) & node.wanted == node.wanted):
                after = read_value(parser, line, node, p + node.length, end)
                if likely(after != NULL):
                    break
            node = node.sibling
            if node == shapes.nowhere:
                return NULL
        p = after
        if node.end == NEXT_LINE:
            break
    line.kind = TICK
    line.present = node.present
    line.members = line.unknown
    if unlikely(line.present & (1 << PRICE) and is_zero(&line.decimals[PRICE])):
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


cdef inline Node* plant_piece(Shapes* shapes, Node* parent, const Node* wanted) noexcept nogil:
    """The child of ``parent`` that is like ``wanted``; a new one if there is none yet; NULL if there is no room for one."""
    cdef Node** link = &parent.child
    cdef int siblings = 0
    while link[0] != shapes.nowhere:
        if (link[0].wanted == wanted.wanted and link[0].end == wanted.end and link[0].id == wanted.id
                and memcmp(link[0].piece, wanted.piece, PIECE_BYTES) == 0):
            return link[0]
        link = &link[0].sibling
        siblings += 1
    if shapes.count == NODES or siblings == MAX_SIBLINGS:
        return NULL
    link[0] = &shapes.nodes[shapes.count]
    shapes.count += 1
    link[0][0] = wanted[0]
    link[0].child = link[0].sibling = shapes.nowhere
    return link[0]


cdef inline Node* plant(Shapes* shapes, Node* place, text start, text stop, int end, uint32_t present, const Member* member) noexcept nogil:
    """The bytes from ``start`` to ``stop``, as one piece or several, below ``place``; returns the last one, NULL if there is no room."""
    cdef Node node
    while place != NULL:
        memset(&node, 0, sizeof(Node))
        node.usual = 1
        node.usual_end = 2
        node.length = <uint8_t> min(stop - start, PIECE_BYTES)
        node.wanted = (<uint32_t> 1 << node.length) - 1
        memcpy(node.piece, start, node.length)
        start += node.length
        if start == stop:
            node.end = <uint8_t> end
            node.present = present
            if member != NULL:
                if stop - member.name.start > 255:
                    return NULL
                node.id = member.id
                node.name_back = <uint8_t> (stop - member.name.start)
                node.name_length = <uint8_t> member.name.length
            return plant_piece(shapes, place, &node)
        place = plant_piece(shapes, place, &node)
    return NULL


cdef inline void learn_shape(Shapes* shapes, const Line* line, const Member* members, text start, text end) noexcept nogil:
    """Remember the shape of the good tick from ``start`` to its line feed at ``end``, as read_line left it."""
    cdef const Member* member
    cdef Node* place = shapes.root
    cdef text value
    cdef int i, follows, before = shapes.count
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
    place = plant(shapes, place, start, end + 1, NEXT_LINE, line.present, NULL)
    if shapes.count == before:
        shapes.idle = IDLE_LINES
        shapes.failures += place == NULL
        if shapes.failures == MAX_FAILURES:
            forget_shapes(shapes)


cdef inline void forget_shapes(Shapes* shapes) noexcept nogil:
    shapes.nowhere = &shapes.nodes[0]
    shapes.root = &shapes.nodes[1]
    shapes.count = 2
    shapes.idle = shapes.failures = 0
    shapes.nowhere.wanted = 1 << PIECE_BYTES  # a bit that no comparison gives
    shapes.root.child = shapes.nowhere.sibling = shapes.nowhere
