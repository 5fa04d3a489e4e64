// A log-linear histogram of nanoseconds: 64 buckets to each power of two, so a value is known to 1/64 (1.6 %) whatever its size,
// and to the nanosecond below 128. bench/histogram.py reads what is printed here; a test holds the two against each other.
#pragma once
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HISTOGRAM_BITS = 6, HISTOGRAM_BUCKETS = (63 - HISTOGRAM_BITS) * (1 << HISTOGRAM_BITS) + (1 << HISTOGRAM_BITS) };

struct histogram {
  uint64_t count, negative;
  int64_t min, max;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

static inline int histogram_bucket(uint64_t value) {
  int top = 63 - __builtin_clzll(value | 1), shift = top > HISTOGRAM_BITS ? top - HISTOGRAM_BITS : 0;
  return (shift << HISTOGRAM_BITS) + (int)(value >> shift);
}

// A negative value means that clocks disagree: it is told apart, and recorded as zero.
static inline void histogram_record(struct histogram *h, int64_t value) {
  if (value < 0) {
    h->negative++;
    value = 0;
  }
  if (!h->count || value < h->min) h->min = value;
  if (value > h->max) h->max = value;
  h->count++;
  h->buckets[histogram_bucket((uint64_t)value)]++;
}

static inline void histogram_print(const struct histogram *h, FILE *to) {
  fprintf(to, "{\"count\":%" PRIu64 ",\"negative\":%" PRIu64 ",\"min_ns\":%" PRId64 ",\"max_ns\":%" PRId64 ",\"buckets\":[", h->count, h->negative,
          h->min, h->max);
  const char *comma = "";
  for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
    if (h->buckets[i]) {
      fprintf(to, "%s[%d,%" PRIu64 "]", comma, i, h->buckets[i]);
      comma = ",";
    }
  fputs("]}", to);
}
