# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""From a tick that is believed to messages in the outboxes, and on to the sockets at the end of the batch."""

from finstream._offering cimport *

cdef enum:
    OUT_BYTES = 1 << 19             # of encoded messages, then the batch is sent early


cdef inline void publish(
    Pump* pump, Asset* asset, const Label* label, Symbol* symbol, int64_t line_length, int64_t received
) noexcept nogil:
    """Encode the message once, and give it to who takes this symbol. Who takes the whole asset gets it with the run."""
    cdef uint8_t* payload
    if (asset.outbox_count + asset.tamed_count == 0 and (symbol == NULL or symbol.outbox_count + symbol.tamed_count == 0)
            and not pump.encode_always):
        asset.seq += 1
        return
    make_room(pump, asset, line_length)
    if unlikely(pump.receipt.time != received):
        make_receipt(&pump.receipt, received, label)
    asset.seq += 1  # not before the run up to here was given away
    payload = pump.out + pump.out_length + 4  # the header of nearly every message
    hand_out(
        pump, asset, symbol, put_message(payload, &pump.line, pump.parser.members, label, asset.seq, &pump.receipt) - payload)


cdef inline void make_room(Pump* pump, Asset* asset, int64_t line_length) noexcept nogil:
    if unlikely(pump.out_length + line_length + MESSAGE_OVERHEAD > OUT_BYTES
                or pump.out_lines_length + line_length + MESSAGE_OVERHEAD > OUT_BYTES):
        finish_run(pump, asset)
        flush(pump, False)
        asset.run_start = asset.run_start_lines = 0


cdef inline void hand_out(Pump* pump, Asset* asset, Symbol* symbol, int64_t length) noexcept nogil:
    """Frame the message whose text stands four bytes behind the last one, and give it away."""
    cdef uint8_t* frame = pump.out + pump.out_length
    cdef uint8_t* payload = frame + 4
    cdef int64_t frame_length, at_lines = 0
    cdef Outbox* outbox
    cdef int i
    if unlikely(length < 126 or length > 65535):
        memmove(frame + (2 if length < 126 else 10), payload, length)
        payload = frame + (2 if length < 126 else 10)
    frame_length = put_header(payload, length, 1) + length
    pump.out_length += frame_length
    if unlikely(asset.line_outboxes):
        at_lines = pump.out_lines_length
        memcpy(pump.out_lines + at_lines, payload, length)
        pump.out_lines[at_lines + length] = 0x0a
        pump.out_lines_length += length + 1
    asset.run_messages += 1
    if symbol != NULL and symbol.outbox_count:
        for i in range(symbol.outbox_count - 1, -1, -1):
            outbox = symbol.outboxes[i]
            if outbox.lines:
                give(pump, outbox, pump.out_lines + at_lines, length + 1, 1, asset, False)
            else:
                give(pump, outbox, frame, frame_length, 1, asset, False)
    if unlikely(asset.tamed_count):
        for i in range(asset.tamed_count - 1, -1, -1):
            offer(pump, <Rules*> asset.tamed[i], symbol, frame, frame_length, pump.out_lines + at_lines, length + 1)
    if unlikely(symbol != NULL and symbol.tamed_count):
        for i in range(symbol.tamed_count - 1, -1, -1):
            offer(pump, <Rules*> symbol.tamed[i], symbol, frame, frame_length, pump.out_lines + at_lines, length + 1)


cdef inline void finish_run(Pump* pump, Asset* asset) noexcept nogil:
    """Give the messages since ``run_start`` to everybody who takes the whole asset."""
    cdef int i
    cdef Outbox* outbox
    if asset.run_messages == 0:
        return
    for i in range(asset.outbox_count - 1, -1, -1):
        outbox = asset.outboxes[i]
        if outbox.lines:
            give(pump, outbox, pump.out_lines + asset.run_start_lines, pump.out_lines_length - asset.run_start_lines,
                 asset.run_messages, asset, False)
        else:
            give(pump, outbox, pump.out + asset.run_start, pump.out_length - asset.run_start, asset.run_messages, asset, False)
    asset.run_messages = 0
    asset.run_start = pump.out_length
    asset.run_start_lines = pump.out_lines_length


cdef inline void flush(Pump* pump, bint in_between) noexcept nogil:
    """Send what the outboxes collected; afterwards ``out`` may be written anew. ``in_between``: whoever asks for the lock gets it
    after the next send; a batch for thousands takes long, and the control plane must not wait for all of it."""
    cdef int i
    end_lap(pump, TENDING if in_between else TAKING)
    for i in range(pump.touched_count):
        if likely(pump.touched[i] != NULL):
            pump.touched[i].touched = 0
            send_batch(pump, pump.touched[i])
            guard_midway(pump)
        if unlikely(in_between):
            give_way(pump)
    pump.touched_count = 0
    pump.out_length = pump.out_lines_length = 0
    end_lap(pump, SENDING)
