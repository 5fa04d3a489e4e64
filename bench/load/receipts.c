// What a message means for the account of its connection.
//
// Two ways lead to the same account. receipt_take understands any message. receipts_skim takes the usual one only: a tick in the shape of
// the one before, with the index that must come next. It walks from header to header and looks at the member's name and at the index,
// where they were in the message before, and at nothing else; whatever is not exactly as expected it leaves to the careful way. So
// every message of every connection is held against the index that is due, and nothing lost, repeated or out of order gets past it.
#define _GNU_SOURCE
#include "receipts.h"

#include <string.h>

#include "frames.h"

enum { SKIM_NAME_LEAST = 8, SKIM_NAME_MOST = 16, INDEX_DIGITS = 10 };  // a name is compared as two words of eight bytes

struct run run = {.every = 1};

static void sample(uint64_t index, const char *text, size_t n, int64_t received_ns) {
  const char *value = member_value(&options.stamp_member, text, n);
  if (!value) return;
  int64_t stamp = (int64_t)digits(value, text + n) * options.stamp_unit_ns, latency = received_ns - stamp / 1000 * 1000;
  histogram_record(&run.write, latency);
  if (run.marking) histogram_record(&run.marked, latency);
  if (run.schedule.interval_ns > 0 && index >= run.first)
    histogram_record(&run.due, received_ns - schedule_due_ns(&run.schedule, index - run.first) / 1000 * 1000);
}

static void on_other(struct connection *c, const char *text, size_t n, int64_t received_ns) {
  run.others++;
  if (c->state != SUBSCRIBING || options.ready_at_tick) return;
  if (options.ready_text && memmem(text, n, options.ready_text, strlen(options.ready_text))) connection_ready(c, received_ns);
}

static void count(uint64_t messages, size_t n, int64_t received_ns) {
  if (!run.messages) run.first_receipt_ns = received_ns;
  run.last_receipt_ns = received_ns;
  run.messages += messages;
  run.bytes += n;
}

void receipt_take(struct connection *c, const char *text, size_t n, int64_t received_ns) {
  const char *value = member_value(&options.index_member, text, n);
  if (!value) {
    on_other(c, text, n, received_ns);
    return;
  }
  if (c->state == SUBSCRIBING && options.ready_at_tick) connection_ready(c, received_ns);
  uint64_t index = digits(value, text + n);
  count(1, n, received_ns);
  account_tick(&c->account, index);
  if (index % run.every == 0) sample(index, text, n, received_ns);
}

static inline uint64_t word(const char *p) {
  uint64_t w;
  memcpy(&w, p, sizeof w);
  return w;
}

// The number that the ten digits at p are, eight of them at a time; 0 when there are not exactly ten.
static inline uint64_t ten_digits(const char *p) {
  uint64_t eight = word(p) - 0x3030303030303030;
  unsigned ninth = (unsigned)(p[8] - '0'), tenth = (unsigned)(p[9] - '0'), after = (unsigned)(p[10] - '0');
  if (((eight + 0x7676767676767676) | eight) & 0x8080808080808080 || ninth > 9 || tenth > 9 || after <= 9) return 0;
  eight = eight * (10 * 256 + 1) >> 8 & 0x00ff00ff00ff00ff;              // each pair, then each four, then all
  eight = eight * (100 * 65536 + 1) >> 16 & 0x0000ffff0000ffff;
  return (eight * (10000 * (1ull << 32) + 1) >> 32) * 100 + ninth * 10 + tenth;
}

size_t receipts_skim(struct connection *c, const char *p, size_t n, int64_t received_ns) {
  const struct member *m = &options.index_member;
  if (c->state != READY || c->fragments.data || c->account.share.symbols || options.protocol != PLAIN) return 0;
  if (m->length < SKIM_NAME_LEAST || m->length > SKIM_NAME_MOST || m->from_end <= m->length + INDEX_DIGITS) return 0;
  const uint64_t name = word(m->text), rest = word(m->text + m->length - 8), first = c->account.next;
  uint64_t next = first, sampled = (next + run.every - 1) / run.every * run.every;
  size_t at = 0;
  for (size_t length; n - at > FRAME_MEDIUM_HEADER; at += FRAME_MEDIUM_HEADER + length) {
    length = frame_medium(p + at);
    if (!length || length > n - at - FRAME_MEDIUM_HEADER) break;
    const char *text = p + at + FRAME_MEDIUM_HEADER, *member = text + length - m->from_end, *value = member + m->length;
    if (length < m->from_end || word(member) != name || word(value - 8) != rest || ten_digits(value + (*value == '"')) != next) break;
    if (next == sampled) {
      sample(next, text, length, received_ns);
      sampled += run.every;
    }
    next++;
  }
  if (next == first) return 0;
  c->account.received += next - first;
  c->account.next = next;
  count(next - first, at - (next - first) * FRAME_MEDIUM_HEADER, received_ns);
  run.skimmed += next - first;
  return at;
}
