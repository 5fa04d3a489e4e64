// The account of what comes.
#pragma once
#include "connection.h"
#include "schedule.h"

// What came since `begin`.
struct run {
  struct schedule schedule;
  int marking;
  uint64_t first, every, messages, skimmed, others, bytes, receives, illegal, pings;
  int64_t began_ns, cpu_ns, first_receipt_ns, last_receipt_ns;
  struct histogram write, due, marked;
};

extern struct run run;

// Takes one message, received at that time.
void receipt_take(struct connection *c, const char *text, size_t n, int64_t received_ns);
// Takes the frames at p while they are whole and as expected; returns how many bytes they were. A byte beyond p + n may be read.
size_t receipts_skim(struct connection *c, const char *p, size_t n, int64_t received_ns);
