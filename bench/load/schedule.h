// When each tick of a run is due. The producer obeys this schedule and the load client knows it too, so a tick that left late
// (because the producer or whatever reads it was held up) is still measured from the moment at which it was due: no coordinated
// omission. Above 5,000 ticks/s they are due in bursts, 5,000 bursts a second; a producer that woke for every tick would
// take the core away from what is being measured.
#pragma once
#include <math.h>
#include <stdint.h>

static const double BURST_NS = 200e3;

struct schedule {
  int64_t start_ns;
  double interval_ns;  // 0: no schedule, as fast as the reader takes it
};

static inline struct schedule schedule_at(int64_t start_ns, double rate) {
  return (struct schedule){.start_ns = start_ns, .interval_ns = rate > 0 ? 1e9 / rate : 0};
}

// When the n-th tick (from 0) of a paced run is due.
static inline int64_t schedule_due_ns(const struct schedule *s, uint64_t n) {
  double after = (double)n * s->interval_ns;
  if (s->interval_ns < BURST_NS) after = floor(after / BURST_NS) * BURST_NS;
  return s->start_ns + (int64_t)after;
}
