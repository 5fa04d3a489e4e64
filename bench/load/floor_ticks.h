// The typed work on a tick, by hand and for one shape of line only: members in the producer's order, no white space, no escapes,
// decimals of up to 18 digits as scaled integers. It writes the message that FinStream writes.
#pragma once
#include <stdint.h>
#include <string.h>

struct text {
  const char *at;
  size_t length;
};
struct decimal {
  uint64_t mantissa;
  int scale;
};
struct tick {
  struct text symbol, trade_id;
  struct decimal price, volume, bid, ask;
  int64_t stamp_ns;
};
struct source {
  uint64_t seq, ticks, refused;
  int64_t smoothed_lag_ns;
};
// Copies have a fixed size, which costs less than the right one: so many bytes beyond the lines can be read, and beyond messages written.
enum { FLOOR_BEYOND = 64 };
enum { FLOOR_PAST_DAYS = 7, FLOOR_FUTURE_S = 60, FLOOR_MESSAGE_MAX_BYTES = 512 };

static inline const char *floor_member(const char *p, const char *name, size_t n) { return p && !memcmp(p, name, n) ? p + n : NULL; }
#define FLOOR_MEMBER(p, name) floor_member(p, name, sizeof(name) - 1)

static inline const char *floor_text(const char *p, struct text *to) {
  if (!p) return NULL;
  to->at = p;
  while (*p != '"') {
    if (*p == '\\' || (unsigned char)*p < ' ') return NULL;
    p++;
  }
  to->length = (size_t)(p - to->at);
  return to->length && to->length <= 64 ? p + 1 : NULL;
}

// Trailing zeros of the fraction are left out on the way.
static inline const char *floor_decimal(const char *p, struct decimal *to) {
  if (!p) return NULL;
  const char *start = p;
  uint64_t value = 0, kept;
  int scale = 0, kept_scale = 0;
  while ((unsigned)(*p - '0') < 10) value = value * 10 + (uint64_t)(*p++ - '0');
  if (p == start || (*start == '0' && p - start > 1)) return NULL;
  kept = value;
  if (*p == '.') {
    const char *point = p++;
    for (unsigned digit; (digit = (unsigned)(*p - '0')) < 10; p++) {
      value = value * 10 + digit;
      scale++;
      if (digit) kept = value, kept_scale = scale;
    }
    if (p == point + 1) return NULL;
  }
  if (*p != '"' || p - start > 19) return NULL;
  *to = (struct decimal){kept, kept_scale};
  return p + 1;
}

// Returns what follows the object, or NULL.
static inline const char *floor_parse(const char *p, struct tick *t) {
  p = floor_text(FLOOR_MEMBER(p, "{\"symbol\":\""), &t->symbol);
  p = floor_decimal(FLOOR_MEMBER(p, ",\"price\":\""), &t->price);
  p = floor_decimal(FLOOR_MEMBER(p, ",\"volume\":\""), &t->volume);
  if (!(p = FLOOR_MEMBER(p, ",\"ts\":"))) return NULL;
  const char *digits = p;
  uint64_t stamp = 0;
  while ((unsigned)(*p - '0') < 10 && p - digits < 19) stamp = stamp * 10 + (uint64_t)(*p++ - '0');
  if (stamp > INT64_MAX / 2) return NULL;
  t->stamp_ns = (int64_t)stamp;
  p = floor_decimal(FLOOR_MEMBER(p, ",\"bid\":\""), &t->bid);
  p = floor_decimal(FLOOR_MEMBER(p, ",\"ask\":\""), &t->ask);
  p = floor_text(FLOOR_MEMBER(p, ",\"trade_id\":\""), &t->trade_id);
  return p && *p == '}' ? p + 1 : NULL;
}

static inline char *floor_write_integer(char *to, uint64_t value) {
  static const char PAIRS[] =
      "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
      "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
  char digits[20 + FLOOR_BEYOND], *p = digits + 20;
  for (; value >= 100; value /= 100) memcpy(p -= 2, PAIRS + value % 100 * 2, 2);
  if (value >= 10) memcpy(p -= 2, PAIRS + value * 2, 2);
  else *--p = (char)('0' + value);
  memcpy(to, p, 20);
  return to + (digits + 20 - p);
}

static inline char *floor_write_decimal(char *to, struct decimal d) {
  char digits[40 + FLOOR_BEYOND];
  memset(digits, '0', 20);
  char *end = floor_write_integer(digits + 20, d.mantissa);
  size_t n = (size_t)(end - digits) - 20;
  if (n <= (size_t)d.scale) n = (size_t)d.scale + 1;  // leading zeros
  size_t whole = n - (size_t)d.scale;
  memcpy(to, end - n, 20);
  to += whole;
  if (d.scale) {
    *to++ = '.';
    memcpy(to, end - d.scale, 20);
    to += d.scale;
  }
  return to;
}

static inline char *floor_write_text(char *to, const struct text *t) {
  memcpy(to, t->at, FLOOR_BEYOND);
  return to + t->length;
}

#define FLOOR_WRITE(to, literal) (memcpy(to, literal, sizeof(literal) - 1), (to) += sizeof(literal) - 1)

static inline char *floor_encode(char *to, const struct tick *t, uint64_t seq, int64_t received_ns) {
  FLOOR_WRITE(to, "{\"type\":\"tick\",\"asset\":\"bench\",\"seq\":");
  to = floor_write_integer(to, seq);
  FLOOR_WRITE(to, ",\"symbol\":\"");
  to = floor_write_text(to, &t->symbol);
  FLOOR_WRITE(to, "\",\"exchange\":\"bench\",\"price\":\"");
  to = floor_write_decimal(to, t->price);
  FLOOR_WRITE(to, "\",\"volume\":\"");
  to = floor_write_decimal(to, t->volume);
  FLOOR_WRITE(to, "\",\"bid_price\":\"");
  to = floor_write_decimal(to, t->bid);
  FLOOR_WRITE(to, "\",\"ask_price\":\"");
  to = floor_write_decimal(to, t->ask);
  FLOOR_WRITE(to, "\",\"trade_id\":\"");
  to = floor_write_text(to, &t->trade_id);
  FLOOR_WRITE(to, "\",\"ts_event\":");
  to = floor_write_integer(to, (uint64_t)t->stamp_ns / 1000);
  FLOOR_WRITE(to, ",\"ts_recv\":");
  to = floor_write_integer(to, (uint64_t)received_ns / 1000);
  FLOOR_WRITE(to, ",\"simulated\":true}");
  return to;
}

// One line (followed by a line feed) to one WebSocket frame. Returns the frame's end, or `to` when the line is refused.
static inline char *floor_tick(struct source *s, const char *line, const char *feed, char *to, int64_t received_ns) {
  struct tick t;
  int64_t lag;
  if (floor_parse(line, &t) != feed || !t.price.mantissa || (lag = received_ns - t.stamp_ns) < -FLOOR_FUTURE_S * 1000000000LL ||
      lag > FLOOR_PAST_DAYS * 24 * 3600 * 1000000000LL) {
    s->refused++;
    return to;
  }
  s->ticks++;
  s->smoothed_lag_ns += (lag - s->smoothed_lag_ns) / 16;
  char *end = floor_encode(to + 4, &t, ++s->seq, received_ns);  // a message of ours always has 126 bytes or more
  size_t n = (size_t)(end - to) - 4;
  to[0] = (char)0x81, to[1] = 126, to[2] = (char)(n >> 8), to[3] = (char)n;
  return end;
}
