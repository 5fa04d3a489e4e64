// The connections of the load client: dialling, handshake, frames, and the account of what comes.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "schedule.h"
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

// What came since `begin`.
struct run {
  struct schedule schedule;
  int marking;
  uint64_t first, every, messages, skimmed, others, bytes, receives, illegal, pings;
  int64_t began_ns, cpu_ns, first_receipt_ns, last_receipt_ns;
  struct histogram write, due, marked;
};

extern struct options options;
extern struct census census;
extern struct run run;
extern struct connection *connections;

void subscribers_open(int epoll);                 // room for all connections; their events carry a pointer to theirs
void subscribers_dial(void);                      // the next ones, so that at most `at_once` are on their way
void subscribers_redial(void);                    // cut all connections, to make them again
void subscribers_stall(void);                     // read no more from any of them
void subscribers_on_event(struct connection *c);

// For those who understand messages.
void subscriber_send(struct connection *c, int opcode, const void *payload, size_t n);
void subscriber_ready(struct connection *c);
void subscriber_refused(struct connection *c, const char *why, const char *detail, size_t n);
// Takes one message, received at that time.
void receipt_take(struct connection *c, const char *text, size_t n, int64_t received_ns);
// Takes the frames at p while they are whole and as expected; returns how many bytes they were. A byte beyond p + n may be read.
size_t receipts_skim(struct connection *c, const char *p, size_t n, int64_t received_ns);
// For brokers: what to say after the handshake, and the next bytes of the inner stream.
void broker_greet(struct connection *c);
void broker_take(struct connection *c, const char *data, size_t n, int64_t received_ns);
void bytes_append(struct bytes *b, const char *data, size_t n);
void bytes_drop(struct bytes *b, size_t n);       // from the front
