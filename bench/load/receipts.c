// What a message means for the account of its connection.
#define _GNU_SOURCE
#include <string.h>

#include "subscribers.h"

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

static void on_other(struct connection *c, const char *text, size_t n) {
  run.others++;
  if (c->state != SUBSCRIBING || options.ready_at_tick) return;
  if (options.ready_text && memmem(text, n, options.ready_text, strlen(options.ready_text))) subscriber_ready(c);
}

void receipt_take(struct connection *c, const char *text, size_t n, int64_t received_ns) {
  const char *value = member_value(&options.index_member, text, n);
  if (!value) {
    on_other(c, text, n);
    return;
  }
  if (c->state == SUBSCRIBING && options.ready_at_tick) subscriber_ready(c);
  uint64_t index = digits(value, text + n);
  if (!run.messages++) run.first_receipt_ns = received_ns;
  run.last_receipt_ns = received_ns;
  run.bytes += n;
  account_tick(&c->account, index);
  if (index % run.every == 0) sample(index, text, n, received_ns);
}
