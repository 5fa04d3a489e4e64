// What the load client reads in a tick, and the account it keeps for each connection.
//
// Every tick carries the producer's running index in one member and its stamp in another. A connection must see each index once
// and in order; whatever else happens is counted, so a lost, repeated or reordered tick cannot go unnoticed.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// A member's name, and where it was last: as most systems write members in one order and the last ones at a fixed width, its
// distance from the end of the message hardly changes, which makes finding it one comparison.
struct member {
  char text[64];  // "name":
  size_t length, from_end;
};

static inline void member_name(struct member *m, const char *name) {
  m->length = (size_t)snprintf(m->text, sizeof m->text, "\"%s\":", name);
  m->from_end = 0;
}

// Where the member's value starts, or NULL.
static inline const char *member_value(struct member *m, const char *p, size_t n) {
  const char *end = p + n, *at = end - m->from_end;
  if (m->from_end < m->length || m->from_end > n || memcmp(at, m->text, m->length) != 0) {
    if (!(at = memmem(p, n, m->text, m->length))) return NULL;
    m->from_end = (size_t)(end - at);
  }
  return at + m->length;
}

// The number at p, quoted or not.
static inline uint64_t digits(const char *p, const char *end) {
  uint64_t value = 0;
  if (p < end && *p == '"') p++;
  for (; p < end && (unsigned)(*p - '0') < 10; p++) value = value * 10 + (uint64_t)(*p - '0');
  return value;
}

struct account {
  uint64_t next;      // the index that must come now
  uint64_t received;
  uint64_t missing;   // indexes that were jumped over
  uint64_t repeated;  // indexes that came again, or came late
};

static inline void account_open(struct account *a, uint64_t first) { *a = (struct account){.next = first}; }

static inline void account_tick(struct account *a, uint64_t index) {
  a->received++;
  if (index == a->next) a->next++;
  else if (index > a->next) {
    a->missing += index - a->next;
    a->next = index + 1;
  } else a->repeated++;
}
