// What the load client reads in a tick, and the account it keeps for each connection.
//
// Every tick carries the producer's running index in one member and its stamp in another. A connection must see each index once
// and in order; whatever else happens is counted, so a lost, repeated or reordered tick cannot go unnoticed.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// A member's name, and where it was last: most systems write members in one order, so its distance from the end of the message
// changes by a few digits at most. It is looked for there, in a bounded place; the whole message is searched only when it is not.
enum { NEAR_BYTES = 16 };

struct member {
  char text[64];  // "name":
  size_t length, from_end;
};

static inline void member_name(struct member *m, const char *name) {
  m->length = (size_t)snprintf(m->text, sizeof m->text, "\"%s\":", name);
  m->from_end = 0;
}

static inline int member_is_at(const struct member *m, const char *p, size_t n, size_t from_end) {
  return from_end >= m->length && from_end <= n && !memcmp(p + n - from_end, m->text, m->length);
}

// Where the member's value starts, or NULL.
static inline const char *member_value(struct member *m, const char *p, size_t n) {
  size_t usual = m->from_end;
  if (!member_is_at(m, p, n, usual)) {
    const char *at = NULL;
    for (size_t off = 1; usual && off <= NEAR_BYTES && !at; off++) {
      if (member_is_at(m, p, n, usual + off)) at = p + n - usual - off;
      else if (usual > off && member_is_at(m, p, n, usual - off)) at = p + n - usual + off;
    }
    if (!at && !(at = memmem(p, n, m->text, m->length))) return NULL;
    m->from_end = (size_t)(p + n - at);
  }
  return p + n - m->from_end + m->length;
}

// The number at p, quoted or not.
static inline uint64_t digits(const char *p, const char *end) {
  uint64_t value = 0;
  if (p < end && *p == '"') p++;
  for (; p < end && (unsigned)(*p - '0') < 10; p++) value = value * 10 + (uint64_t)(*p - '0');
  return value;
}

// Which indexes a connection gets: all, or those of the symbols [first, first + each) of `symbols`; an index's symbol is its remainder.
struct share {
  uint64_t symbols, first, each;  // symbols 0: all
};

// The least index of the share that is not below `index`.
static inline uint64_t share_from(const struct share *s, uint64_t index) {
  if (!s->symbols) return index;
  uint64_t ahead = (index % s->symbols + s->symbols - s->first) % s->symbols;  // of the share's first symbol
  return ahead < s->each ? index : index + s->symbols - ahead;
}

// How many indexes of the share lie in [from, to), both of which are in it.
static inline uint64_t share_between(const struct share *s, uint64_t from, uint64_t to) {
  if (!s->symbols) return to - from;
  uint64_t rounds = (to - from) / s->symbols, n = rounds * s->each;
  for (from += rounds * s->symbols; from < to; from = share_from(s, from + 1)) n++;
  return n;
}

struct account {
  struct share share;
  uint64_t next;      // the index that must come now
  uint64_t received;
  uint64_t missing;   // indexes that were jumped over
  uint64_t repeated;  // indexes that came again, or came late
  uint64_t strange;   // indexes that are none of its share
};

static inline void account_open(struct account *a, uint64_t first) { *a = (struct account){.share = a->share, .next = share_from(&a->share, first)}; }

static inline void account_tick(struct account *a, uint64_t index) {
  a->received++;
  if (index == a->next) a->next = share_from(&a->share, index + 1);
  else if (share_from(&a->share, index) != index) a->strange++;
  else if (index < a->next) a->repeated++;
  else {
    a->missing += share_between(&a->share, a->next, index);
    a->next = share_from(&a->share, index + 1);
  }
}
