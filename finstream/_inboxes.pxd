# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What subscribers send: a handshake's request head, then WebSocket frames (RFC 6455), small and rare.

This faces the open network. Everything is bounded, and whatever does not fit is a named fault:

 - A request head has at most MAX_HEAD bytes. Browsers send a tenth of that.
 - A message has at most MAX_MESSAGE bytes over all its fragments; a subscription to 2,000 topics fits.
 - Between two messages or pings at most MAX_IDLE_BYTES may come, or somebody is sending empty fragments for ever. It is what the
   longest message takes in fragments of one byte.
 - At most MAX_UNHEARD messages wait for the control plane; then the client is not read from until it has taken them.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove
from finstream._json cimport scan_utf8, text

cdef enum:
    MAX_HEAD = 16384
    MAX_MESSAGE = 65536
    MAX_IDLE_BYTES = 8 * MAX_MESSAGE
    MAX_UNHEARD = 64
    MAX_CONTROL = 125       # RFC 6455, 5.5
    PONGS_AT_ONCE = 16      # of what one read brings; of more pings only the last is answered

cdef enum Phase:
    WRITE_ONLY              # the pump does not read this connection
    GREETING                # the request head is coming in
    ASKING                  # the control plane has it, and has not answered
    OPEN
    LEAVING                 # the last words are on their way; what still comes is thrown away

cdef enum Fault:
    NO_FAULT
    BROKEN_PROTOCOL         # close code 1002
    NOT_UTF8                # 1007
    TOO_BIG                 # 1009
    OUT_OF_MEMORY           # 1011

cdef enum Opcode:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10

cdef struct Bytes:
    uint8_t* start
    int length
    int room

cdef struct Inbox:
    Bytes pending           # of an unfinished head or frame
    Bytes message           # of an unfinished message
    uint8_t kind            # of that message, TEXT or BINARY; 0: there is none
    int64_t idle_bytes      # since the last message or ping
    int unheard             # messages that the control plane has not taken
    int64_t counted         # of the memory of what is unfinished, see ``count_inbox``

cdef struct Frame:
    bint final
    uint8_t opcode
    uint8_t* payload        # unmasked
    int64_t length
    int64_t size            # of the whole frame

cdef struct Pings:
    # Of one read.
    int count
    const uint8_t* latest   # its payload
    int latest_length


cdef inline bint keep(Bytes* bytes, const uint8_t* start, int length) noexcept nogil:
    """Append; False when there is no memory for it."""
    cdef void* grown
    if bytes.length + length > bytes.room:
        grown = realloc(bytes.start, bytes.length + length)
        if grown == NULL:
            return False
        bytes.start = <uint8_t*> grown
        bytes.room = bytes.length + length
    if length:
        memcpy(bytes.start + bytes.length, start, length)
    bytes.length += length
    return True


cdef inline void forget(Bytes* bytes) noexcept nogil:
    # An idle connection keeps no memory for what it may say one day.
    free(bytes.start)
    bytes.start = NULL
    bytes.length = bytes.room = 0


cdef inline int take_frame(uint8_t* p, int64_t available, int64_t most, bint begun, Frame* frame) noexcept nogil:
    """The frame at ``p``, unmasked in place. ``frame.size`` is 0 if it has not come completely; then nothing was changed.

    ``most`` is how much a data frame may hold, ``begun`` whether it has to go on with a message.
    """
    cdef int64_t length, header = 2, i
    cdef uint8_t* mask
    frame.size = 0
    if available < 2:
        return NO_FAULT
    frame.final = p[0] >> 7
    frame.opcode = p[0] & 15
    length = p[1] & 127
    if p[0] & 0x70:  # no extension was negotiated
        return BROKEN_PROTOCOL
    if not p[1] & 0x80:  # clients mask
        return BROKEN_PROTOCOL
    if frame.opcode > PONG or BINARY < frame.opcode < CLOSE:
        return BROKEN_PROTOCOL
    if frame.opcode >= CLOSE and (not frame.final or length > MAX_CONTROL):
        return BROKEN_PROTOCOL
    if frame.opcode < CLOSE and (frame.opcode == CONTINUATION) != begun:
        return BROKEN_PROTOCOL
    if length == 126:
        header = 4
        if available < 4:
            return NO_FAULT
        length = <int64_t> p[2] << 8 | p[3]
        if length < 126:  # the shortest form is the only one
            return BROKEN_PROTOCOL
    elif length == 127:
        header = 10
        if available < 10:
            return NO_FAULT
        if p[2] & 0x80:
            return BROKEN_PROTOCOL
        length = 0
        for i in range(8):
            length = length << 8 | p[2 + i]
        if length < 65536:
            return BROKEN_PROTOCOL
    if length > most and frame.opcode < CLOSE:
        return TOO_BIG
    if available < header + 4 + length:
        return NO_FAULT
    mask = p + header
    frame.payload = mask + 4
    frame.length = length
    for i in range(length):
        frame.payload[i] ^= mask[i & 3]
    frame.size = header + 4 + length
    return NO_FAULT


cdef inline bint is_utf8(const uint8_t* p, int64_t length) noexcept nogil:
    cdef text stop = p + length
    cdef int why
    while p < stop:
        if p[0] < 0x80:
            p += 1
            continue
        # Its length is told by the first byte; do not look beyond the end for the rest.
        if p + (2 if p[0] < 0xe0 else 3 if p[0] < 0xf0 else 4) > stop:
            return False
        p = scan_utf8(p, stop, &why)
        if p == NULL:
            return False
    return True


cdef inline bint is_close_code(int code) noexcept nogil:
    """RFC 6455, 7.4: what may stand in a close frame."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


cdef inline int check_close(const Frame* frame, int* code) noexcept nogil:
    """A close frame's payload: nothing, or a code and a text. 1005 stands for no code."""
    code[0] = 1005
    if frame.length == 0:
        return NO_FAULT
    if frame.length == 1:
        return BROKEN_PROTOCOL
    code[0] = frame.payload[0] << 8 | frame.payload[1]
    if not is_close_code(code[0]):
        return BROKEN_PROTOCOL
    return NO_FAULT if is_utf8(frame.payload + 2, frame.length - 2) else NOT_UTF8


cdef inline int add_fragment(Inbox* inbox, const Frame* frame, bint* complete) noexcept nogil:
    """A data frame: begin, continue or complete a message."""
    complete[0] = False
    if frame.opcode != CONTINUATION:
        inbox.kind = frame.opcode
    if inbox.message.length + frame.length > MAX_MESSAGE:
        return TOO_BIG
    if not keep(&inbox.message, frame.payload, <int> frame.length):
        return OUT_OF_MEMORY
    if not frame.final:
        return NO_FAULT
    complete[0] = True
    if inbox.kind == TEXT and not is_utf8(inbox.message.start, inbox.message.length):
        return NOT_UTF8
    return NO_FAULT
