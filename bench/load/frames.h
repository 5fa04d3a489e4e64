// RFC 6455 frames as a client meets them: reading headers of a server's frames, writing masked frames of our own.
// Not checked: that text is UTF-8 (it would cost as much as everything else here).
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { FRAME_MAX_BYTES = 4 << 20, FRAME_MAX_HEADER = 14 };
enum frame_state { FRAME_WHOLE, FRAME_INCOMPLETE, FRAME_ILLEGAL };

struct frame {
  int final, opcode;
  size_t header, length;
};

// Reads the header at p; WHOLE when the payload is there too. ILLEGAL sets *why.
static inline enum frame_state frame_read(const unsigned char *p, size_t n, struct frame *f, const char **why) {
  if (n < 2) return FRAME_INCOMPLETE;
  size_t length = p[1] & 0x7f, header = length < 126 ? 2 : length == 126 ? 4 : 10;
  f->final = p[0] >> 7;
  f->opcode = p[0] & 15;
  *why = p[0] & 0x70                                      ? "reserved bits are set"
         : p[1] & 0x80                                    ? "a server's frame is masked"
         : (f->opcode & 7) > 2                            ? "unknown opcode"
         : f->opcode >= OP_CLOSE && (!f->final || length > 125) ? "a control frame is fragmented or too long"
                                                          : NULL;
  if (*why) return FRAME_ILLEGAL;
  if (n < header) return FRAME_INCOMPLETE;
  if (header > 2) {
    uint64_t wide = 0;
    for (size_t i = 2; i < header; i++) wide = wide << 8 | p[i];
    *why = wide < (header == 4 ? 126 : 65536) ? "the length is not in its shortest form" : wide > FRAME_MAX_BYTES ? "the frame is too long" : NULL;
    if (*why) return FRAME_ILLEGAL;
    length = wide;
  }
  f->header = header;
  f->length = length;
  return n - header < length ? FRAME_INCOMPLETE : FRAME_WHOLE;
}

// The usual frame, in one look: whole messages of a length that takes two bytes. Its length, or 0 when the header at p is another.
enum { FRAME_MEDIUM_HEADER = 4 };

static inline size_t frame_medium(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  size_t length = (size_t)u[2] << 8 | u[3];
  return (u[0] == (0x80 | OP_TEXT) || u[0] == (0x80 | OP_BINARY)) && u[1] == 126 && length >= 126 ? length : 0;
}

// Writes one final, masked frame; `to` has room for length + FRAME_MAX_HEADER. Returns its size.
static inline size_t frame_write(unsigned char *to, int opcode, const void *payload, size_t length, uint32_t mask) {
  size_t n = 0;
  to[n++] = (unsigned char)(0x80 | opcode);
  if (length < 126) to[n++] = (unsigned char)(0x80 | length);
  else {
    to[n++] = 0x80 | 126;
    to[n++] = (unsigned char)(length >> 8);
    to[n++] = (unsigned char)length;
  }
  unsigned char key[4];
  memcpy(key, &mask, 4);
  memcpy(to + n, key, 4);
  n += 4;
  for (size_t i = 0; i < length; i++) to[n + i] = ((const unsigned char *)payload)[i] ^ key[i & 3];
  return n + length;
}
