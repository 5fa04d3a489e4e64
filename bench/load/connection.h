// A connection of the load client and what all of them share: what the command line says, how many are in which state, and what can
// be done to one: send to it, call it ready, end it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"
#include "ticks.h"

enum { MAX_HELLOS = 8, REASON_BYTES = 200 };
enum state { UNUSED, CONNECTING, UPGRADING, SUBSCRIBING, READY, CLOSED };
enum protocol { PLAIN, NATS, MQTT };  // what is spoken inside WebSocket messages

struct bytes {
  char *data;
  size_t length;
};

struct connection {
  int fd;
  void *tls;               // NULL: in plain text
  enum state state;
  struct account account;
  int64_t hello_ns;        // when it said what it wants
  struct bytes unread;     // the beginning of a frame whose rest has not come yet
  struct bytes fragments;  // of a message in several frames
  struct bytes inner;      // of a broker's packet
};

// What the command line says.
struct options {
  int port, connections, hellos, cpu, at_once, ready_at_tick, tls;
  enum protocol protocol;
  const char *path, *subprotocol, *hello[MAX_HELLOS], *ready_text;
  char **paths, **own_hellos;
  int64_t stamp_unit_ns, timeout_ns;
  struct member index_member, stamp_member;
};

// How many connections are in which state.
struct census {
  int started, connecting, ready, failed, closed, dialled_again;
  int64_t began_ns;
  struct histogram ready_after, answered_after;  // when each was ready: from the first dial, and from its own hello
  char reason[REASON_BYTES];  // why a connection failed or was closed: the last one's; fit to stand between quotes in JSON
};

extern struct options options;
extern struct census census;
extern struct connection *connections;

void connection_because(const char *what, const char *detail, size_t n);  // the reason of the ending that comes next
void connection_end(struct connection *c);
void connection_ready(struct connection *c, int64_t now_ns);
void connection_refused(struct connection *c, const char *why, const char *detail, size_t n);
ssize_t connection_write(struct connection *c, const void *data, size_t n);  // as send
void connection_send(struct connection *c, int opcode, const void *payload, size_t n);  // a frame
void bytes_set(struct bytes *b, const char *data, size_t n);
void bytes_append(struct bytes *b, const char *data, size_t n);
void bytes_drop(struct bytes *b, size_t n);  // from the front
