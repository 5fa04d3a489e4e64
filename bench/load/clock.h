// Clock readings in nanoseconds. Stamps, schedules and receipts all use the real-time clock of one machine, so they subtract.
#pragma once
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now_ns(void) { return clock_ns(CLOCK_REALTIME); }
static inline int64_t own_cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

static inline void sleep_until_ns(int64_t when) {
  struct timespec t = {.tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000)};
  clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);  // an early return does no harm: the caller looks at the clock again
}
