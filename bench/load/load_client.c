// N WebSocket subscribers in one thread: counts, completeness and latency of what they receive.
//
//   load_client --port P --connections N [--path /p | --paths FILE] [--hello TEXT]... [--own-hellos FILE] [--ready-text TEXT | --ready-at-tick 1]
//               [--protocol plain|nats|mqtt] [--subprotocol NAME] [--index-member trade_id] [--stamp-member ts] [--stamp-unit-ns 1]
//               [--symbols N --symbols-each K] [--at-once 100] [--timeout-s 30] [--cpu N] [--tls 1]
//
// --paths FILE      one path a line; connection i takes line i (a session of its own, say)
// --hello TEXT      sent after the handshake, and of --own-hellos line i by connection i
// --ready-text TEXT a connection is ready when a message holds this, --ready-at-tick 1: with its first tick (default: at once)
// --index-member, --stamp-member, --stamp-unit-ns: where the producer's running index and stamp are in a message, and the stamp's unit
// --symbols, --symbols-each: connection i gets only the ticks of K of N symbols, from the i * K-th on; an index mod N is its symbol
// --tls 1           with TLS, whoever it is at the other end
// --at-once N       so many connections may be on their way
//
// Says {"connected":…,"failed":…,"elapsed_ns":…,"reason":…,"ready_after":…,"answered_after":…} when all are ready or the time is over
// (times of readiness from the first dial, and from each connection's own hello), then obeys standard input:
//   begin FIRST START_NS RATE EVERY    a new account: ticks FIRST, FIRST+1, … by that schedule; latency of every EVERY-th tick -> {"ok":true}
//   mark ON                            from now on (ON 1) keep latencies in a second histogram too, or no longer (0) -> {"ok":true}
//   finish LAST STILL_MS LIMIT_MS      report as soon as every connection has LAST, or nothing came for STILL_MS, or after LIMIT_MS
//   report                             report now
//   stall                              read nothing more -> {"ok":true}
//   redial                             cut all connections and make them again, without hello; ready with the first tick -> as at the start
// It leaves at the end of its input.
//
// A receipt is timed right after the recv that completed the message. Two latencies are kept: from the stamp (the producer's write)
// and from the schedule (when the tick was due). Both origins are floored to the microsecond, because some systems pass stamps on
// in microseconds: so all are treated alike, and none looks better by it (the error is 0 to 1 µs, always to their disadvantage).
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "receipts.h"
#include "subscribers.h"
#include "tls.h"

// --- commands ---------------------------------------------------------------------------------------------------------------

static void ok(void) { puts("{\"ok\":true}"); }

static void begin(uint64_t first, int64_t start_ns, double rate, uint64_t every) {
  memset(&run, 0, sizeof run);
  run.first = first;
  run.every = every ? every : 1;
  run.schedule = schedule_at(start_ns, rate);
  for (int i = 0; i < options.connections; i++) account_open(&connections[i].account, first);
  run.began_ns = now_ns();
  run.cpu_ns = own_cpu_ns();
  ok();
}

static void report(void) {
  uint64_t least = UINT64_MAX, most = 0, next_least = UINT64_MAX, next_most = 0, missing = 0, repeated = 0, strange = 0;
  for (int i = 0; i < options.connections; i++) {
    const struct account *a = &connections[i].account;
    least = a->received < least ? a->received : least;
    most = a->received > most ? a->received : most;
    next_least = a->next < next_least ? a->next : next_least;
    next_most = a->next > next_most ? a->next : next_most;
    strange += a->strange;
    missing += a->missing;
    repeated += a->repeated;
  }
  printf("{\"connections\":%d,\"ready\":%d,\"closed\":%d,\"reason\":\"%s\",\"messages\":%" PRIu64 ",\"skimmed\":%" PRIu64 ",\"others\":%" PRIu64 ",\"bytes\":%" PRIu64
         ",\"receives\":%" PRIu64 ",\"pings\":%" PRIu64 ",\"illegal\":%" PRIu64,
         options.connections, census.ready, census.closed, census.closed ? census.reason : "", run.messages, run.skimmed, run.others, run.bytes, run.receives, run.pings, run.illegal);
  printf(",\"least\":%" PRIu64 ",\"most\":%" PRIu64 ",\"next\":%" PRIu64 ",\"next_most\":%" PRIu64 ",\"strange\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"first_receipt_ns\":%" PRId64
         ",\"last_receipt_ns\":%" PRId64 ",\"elapsed_ns\":%" PRId64 ",\"cpu_ns\":%" PRId64 ",\"write\":",
         least, most, next_least, next_most, strange, missing, repeated, run.first_receipt_ns, run.last_receipt_ns, now_ns() - run.began_ns, own_cpu_ns() - run.cpu_ns);
  histogram_print(&run.write, stdout);
  fputs(",\"due\":", stdout);
  histogram_print(&run.due, stdout);
  fputs(",\"marked\":", stdout);
  histogram_print(&run.marked, stdout);
  fputs("}\n", stdout);
}

static struct {
  int active;
  uint64_t last, seen;
  int64_t still_ns, limit_ns, moved_ns, looked_ns;
} finishing;

// Reports once everything is there, or nothing more can be hoped for.
static void look_whether_finished(void) {
  int64_t now = now_ns();
  if (now - finishing.looked_ns < 1000000) return;  // at most each millisecond: it takes a walk over all connections
  finishing.looked_ns = now;
  if (run.messages != finishing.seen) {
    finishing.seen = run.messages;
    finishing.moved_ns = now;
  }
  int waiting = 0;
  for (int i = 0; i < options.connections && !waiting; i++) waiting = connections[i].state == READY && connections[i].account.next <= finishing.last;
  if (waiting && now - finishing.moved_ns < finishing.still_ns && now < finishing.limit_ns) return;
  finishing.active = 0;
  report();
  fflush(stdout);
}

static int announced;  // whether it was told how connecting went

static int obey(const char *line) {
  uint64_t a, b;
  int64_t c, d;
  double rate;
  if (sscanf(line, "begin %" SCNu64 " %" SCNd64 " %lf %" SCNu64, &a, &c, &rate, &b) == 4) begin(a, c, rate, b);
  else if (sscanf(line, "finish %" SCNu64 " %" SCNd64 " %" SCNd64, &a, &c, &d) == 3) {
    finishing.active = 1;
    finishing.last = a;
    finishing.still_ns = c * 1000000;
    finishing.limit_ns = now_ns() + d * 1000000;
    finishing.moved_ns = now_ns();
    finishing.looked_ns = 0;
  } else if (!strcmp(line, "report")) report();
  else if (sscanf(line, "mark %d", &run.marking) == 1) ok();
  else if (!strcmp(line, "stall")) {
    subscribers_stall();
    ok();
  } else if (!strcmp(line, "redial")) {
    subscribers_redial();
    announced = 0;
  }
  else {
    fprintf(stderr, "load_client: not understood: %s\n", line);
    return 0;
  }
  return 1;
}

// Reads and obeys commands. False at the end of the input.
static int on_commands(void) {
  static char buffer[4096];
  static size_t have;
  ssize_t got = read(STDIN_FILENO, buffer + have, sizeof buffer - 1 - have);
  if (got <= 0) return 0;
  have += (size_t)got;
  buffer[have] = 0;
  for (char *feed; (feed = memchr(buffer, '\n', have));) {
    *feed = 0;
    if (!obey(buffer)) return 0;
    have -= (size_t)(feed + 1 - buffer);
    memmove(buffer, feed + 1, have + 1);
  }
  fflush(stdout);
  return 1;
}

// --- start ------------------------------------------------------------------------------------------------------------------

// A line for each connection.
static char **read_lines(const char *file) {
  FILE *f = fopen(file, "r");
  static char line[65536];
  char **lines = calloc((size_t)options.connections, sizeof *lines);
  for (int i = 0; i < options.connections; i++) {
    if (!f || !fgets(line, sizeof line, f)) {
      fprintf(stderr, "load_client: %s does not hold %d lines\n", file, options.connections);
      exit(2);
    }
    line[strcspn(line, "\n")] = 0;
    lines[i] = strdup(line);
  }
  fclose(f);
  return lines;
}

static void read_options(int argc, char **argv) {
  const char *paths = NULL, *hellos = NULL;
  uint64_t symbols = 0, each = 0;
  member_name(&options.index_member, "trade_id");
  member_name(&options.stamp_member, "ts");
  for (int i = 1; i < argc; i += 2) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(name, "--port")) options.port = atoi(value);
    else if (!strcmp(name, "--connections")) options.connections = atoi(value);
    else if (!strcmp(name, "--path")) options.path = value;
    else if (!strcmp(name, "--paths")) paths = value;
    else if (!strcmp(name, "--hello") && options.hellos < MAX_HELLOS) options.hello[options.hellos++] = value;
    else if (!strcmp(name, "--own-hellos")) hellos = value;
    else if (!strcmp(name, "--ready-text")) options.ready_text = value;
    else if (!strcmp(name, "--ready-at-tick")) options.ready_at_tick = atoi(value);
    else if (!strcmp(name, "--protocol")) options.protocol = !strcmp(value, "nats") ? NATS : !strcmp(value, "mqtt") ? MQTT : PLAIN;
    else if (!strcmp(name, "--subprotocol")) options.subprotocol = value;
    else if (!strcmp(name, "--symbols")) symbols = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--symbols-each")) each = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--at-once")) options.at_once = atoi(value);
    else if (!strcmp(name, "--index-member")) member_name(&options.index_member, value);
    else if (!strcmp(name, "--stamp-member")) member_name(&options.stamp_member, value);
    else if (!strcmp(name, "--stamp-unit-ns")) options.stamp_unit_ns = atoll(value);
    else if (!strcmp(name, "--timeout-s")) options.timeout_ns = (int64_t)(atof(value) * 1e9);
    else if (!strcmp(name, "--tls")) options.tls = atoi(value);
    else if (!strcmp(name, "--cpu")) options.cpu = atoi(value);
    else {
      fprintf(stderr, "load_client: unknown option %s\n", name);
      exit(2);
    }
  }
  if (options.tls && !tls_load()) {
    fprintf(stderr, "load_client: there is no OpenSSL (libssl.so.3)\n");
    exit(2);
  }
  if (paths) options.paths = read_lines(paths);
  if (hellos) options.own_hellos = read_lines(hellos);
  connections = calloc((size_t)options.connections, sizeof *connections);
  for (int i = 0; symbols && i < options.connections; i++)
    connections[i].account.share = (struct share){symbols, (uint64_t)i * each % symbols, each};
}

// Tells how connecting went, once it is over.
static int announce(void) {
  int over = census.ready + census.failed + census.closed >= options.connections;
  int64_t elapsed_ns = now_ns() - census.began_ns;
  if (!over && elapsed_ns <= options.timeout_ns) return 0;
  printf("{\"connected\":%d,\"failed\":%d,\"elapsed_ns\":%" PRId64 ",\"reason\":\"%s\",\"ready_after\":", census.ready,
         options.connections - census.ready, elapsed_ns, census.ready < options.connections ? census.reason : "");
  histogram_print(&census.ready_after, stdout);
  fputs(",\"answered_after\":", stdout);
  histogram_print(&census.answered_after, stdout);
  fputs("}\n", stdout);
  fflush(stdout);
  return 1;
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  if (options.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(options.cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  subscribers_open(epoll);
  struct epoll_event events[512], commands = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands);
  for (;;) {
    if (!announced) {
      subscribers_dial();
      announced = announce();
    }
    int n = epoll_wait(epoll, events, 512, finishing.active ? 1 : announced ? -1 : 100);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) subscribers_on_event(events[i].data.ptr);
      else if (!on_commands()) return 0;
      else break;  // a command may have ended connections that the remaining events are about
    }
    if (finishing.active) look_whether_finished();
  }
}
