// The connections of the load client: dialling, handshake, frames, and the account of what comes.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "schedule.h"
#include "ticks.h"

enum { MAX_HELLOS = 8, REASON_BYTES = 200 };
enum state { UNUSED, CONNECTING, UPGRADING, SUBSCRIBING, READY, CLOSED };

struct bytes {
  char *data;
  size_t length;
};

struct connection {
  int fd;
  enum state state;
  struct account account;
  struct bytes unread;     // the beginning of a frame whose rest has not come yet
  struct bytes fragments;  // of a message in several frames
};

// What the command line says.
struct options {
  int port, connections, hellos, cpu;
  const char *path, *hello[MAX_HELLOS], *ready_text;
  char **paths;
  int64_t stamp_unit_ns, timeout_ns;
  struct member index_member, stamp_member;
};

// How many connections are in which state.
struct census {
  int started, connecting, ready, failed, closed;
  char reason[REASON_BYTES];  // why a connection failed or was closed: the last one's; fit to stand between quotes in JSON
};

// What came since `begin`.
struct run {
  struct schedule schedule;
  uint64_t first, every, messages, others, bytes, receives, illegal, pings;
  int64_t began_ns, cpu_ns, first_receipt_ns, last_receipt_ns;
  struct histogram write, due;
};

extern struct options options;
extern struct census census;
extern struct run run;
extern struct connection *connections;

void subscribers_open(int epoll);                 // room for all connections; their events carry a pointer to theirs
void subscribers_dial(void);                      // the next ones, so that at most AT_ONCE are on their way
void subscribers_on_event(struct connection *c);
