// An ingestor that keeps to a schedule: market-data lines on standard output, told what to do over a unix socket.
//
//   producer --control PATH [--cpu N] [--symbols N] [--publish nats|mqtt --port P]
//
// --symbols N    about N symbols in turn: the tick with index i is about S{i mod N}/USD
// --publish      to a broker on 127.0.0.1 instead of standard output
//
// It listens at PATH for one controller, greets it with {"pid":…} and answers each command with one line of JSON:
//   start RATE SECONDS START_NS    RATE ticks/s (0: as fast as they are read) for SECONDS, the first due at START_NS of the real-time
//                                  clock  ->  {"first":…,"sent":…,"target":…,"elapsed_ns":…,"error":…,"late":HISTOGRAM}
//   stop                           ends a run whose next tick is not due yet; no answer of its own
// `ts` is the time just before the write that the line is part of; `late` is how far that was behind the schedule.
// It leaves when the controller hangs up, and when nobody reads its output any more.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "histogram.h"
#include "lines.h"
#include "schedule.h"

enum { BATCH = 128 };
static const uint64_t FIRST_INDEX = 1000000000;  // every index has ten digits
static const int64_t CONTROLLER_WAIT_MS = 60000;

static uint64_t next_index = 1000000000;

// Standard output does not block, so that a reader that has stopped cannot hold us up beyond `give_up_ns`.
static int write_all(const char *p, size_t n, int64_t give_up_ns) {
  while (n) {
    ssize_t written = write(STDOUT_FILENO, p, n);
    if (written >= 0) {
      p += written;
      n -= (size_t)written;
    } else if (errno == EAGAIN) {
      int64_t left_ms = (give_up_ns - now_ns()) / 1000000 + 1;
      struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
      if (left_ms <= 0 || !poll(&out, 1, (int)left_ms)) return ETIMEDOUT;
    } else if (errno != EINTR) return errno;
  }
  return 0;
}

// Writes `n` lines with one stamp. Returns an errno.
static int write_batch(int n, int64_t stamp, int64_t give_up_ns) {
  static char batch[BATCH * LINE_MAX_BYTES];
  char *to = batch;
  for (int i = 0; i < n; i++) to += line_write(to, next_index++, stamp);
  return write_all(batch, (size_t)(to - batch), give_up_ns);
}

static void run(double rate, double seconds, int64_t start_ns, int peer, FILE *answer) {
  static struct histogram late;
  histogram_clear(&late);
  struct schedule schedule = schedule_at(start_ns, rate);
  uint64_t first = next_index, target = rate > 0 ? (uint64_t)(rate * seconds + 0.5) : UINT64_MAX, sent = 0;
  int64_t end_ns = start_ns + (int64_t)(seconds * 1e9);
  int64_t give_up_ns = end_ns + (int64_t)(seconds * 0.25e9) + 250000000;  // the reader is too slow: no use in going on
  int error = 0;
  sleep_until_ns(start_ns);
  while (sent < target && !error) {
    int64_t now = now_ns();
    int n = BATCH;
    if (now >= (rate > 0 ? give_up_ns : end_ns)) break;
    if (rate > 0) {
      int64_t due = schedule_due_ns(&schedule, sent);
      if (due > now) {
        struct pollfd command = {.fd = peer, .events = POLLIN};
        if (poll(&command, 1, 0)) break;
        sleep_until_ns(due);
        continue;
      }
      for (n = 0; n < BATCH && sent + (uint64_t)n < target && (due = schedule_due_ns(&schedule, sent + (uint64_t)n)) <= now; n++)
        histogram_record(&late, now - due);
    }
    error = write_batch(n, now, give_up_ns);
    if (!error) sent += (uint64_t)n;
  }
  fprintf(answer, "{\"first\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"target\":%" PRIu64 ",\"elapsed_ns\":%" PRId64 ",\"error\":%d,\"late\":", first, sent,
          rate > 0 ? target : sent, now_ns() - start_ns, error);
  histogram_print(&late, answer);
  fputs("}\n", answer);
  fflush(answer);
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "producer: the path of the control socket is too long (%zu bytes at most): %s\n", sizeof address.sun_path - 1, path);
    exit(78);
  }
  strcpy(address.sun_path, path);
  unlink(path);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1)) {
    fprintf(stderr, "producer: %s: %s\n", path, strerror(errno));
    exit(78);
  }
  return listener;
}

// Waits until `fd` can be read. False when nobody reads our output any more, or the time is over.
static int wait_readable(int fd, int64_t timeout_ms) {
  struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};
  return poll(fds, 2, (int)timeout_ms) > 0 && !(fds[1].revents & (POLLERR | POLLHUP | POLLNVAL));
}

int main(int argc, char **argv) {
  const char *control = NULL;
  int symbols = 0, port = 0;
  enum publish publish = TO_STDOUT;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--control")) control = argv[i + 1];
    else if (!strcmp(argv[i], "--symbols")) symbols = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
    else if (!strcmp(argv[i], "--publish")) publish = strcmp(argv[i + 1], "nats") ? TO_MQTT : TO_NATS;
    else if (!strcmp(argv[i], "--cpu")) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(atoi(argv[i + 1]), &set);
      sched_setaffinity(0, sizeof set, &set);
    }
  }
  if (!control) {
    fputs("usage: producer --control PATH [--cpu N] [--symbols N] [--publish nats|mqtt --port P]\n", stderr);
    return 78;
  }
  signal(SIGPIPE, SIG_IGN);
  if (publish != TO_STDOUT && !lines_dial(publish, port)) {
    perror("producer: broker");
    return 70;
  }
  fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
  prctl(PR_SET_TIMERSLACK, 1000);  // ns: the default of 50 µs would make every tick late
  lines_prepare(symbols, publish);
  next_index = FIRST_INDEX;
  int listener = listen_at(control);
  if (!wait_readable(listener, CONTROLLER_WAIT_MS)) return 0;
  int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  FILE *commands = fdopen(peer, "r"), *answers = fdopen(dup(peer), "w");
  if (peer < 0 || !commands || !answers) return 70;
  setvbuf(commands, NULL, _IONBF, 0);  // else a line could wait in the buffer while we poll
  fprintf(answers, "{\"pid\":%d}\n", (int)getpid());
  fflush(answers);
  char line[256];
  while (wait_readable(peer, -1) && fgets(line, sizeof line, commands)) {
    double rate, seconds;
    int64_t start_ns;
    if (!strcmp(line, "stop\n")) continue;  // it has ended the run already, or came too late for that
    if (sscanf(line, "start %lf %lf %" SCNd64, &rate, &seconds, &start_ns) != 3) {
      fprintf(stderr, "producer: not understood: %s", line);
      return 70;
    }
    run(rate, seconds, start_ns, peer, answers);
  }
  return 0;
}
