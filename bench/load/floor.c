// What is physically possible: a fan-out server that does FinStream's work on a tick and nothing else, by hand, for one shape of line
// (see floor_ticks.h) and for our own load client only (it answers just its nonce). One thread; all lines of one read go to each
// client in one send. What a full socket does not take is kept for it, up to 64 MiB; then the client is cut.
//
//   floor PORT [CERT KEY]        lines from standard input to all subscribers; with a certificate's file and that of its key: over TLS
//   floor --measure FILE REPEAT  the work alone, on the lines of FILE  ->  {"ns":…,"ticks":…} of this thread's time
#define _GNU_SOURCE
#include "floor_ticks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "floor_wire.h"

enum { READ_BYTES = 65536, MOST_CLIENTS = 32768, OWED_MAX_BYTES = 64 << 20, SHORTEST_LINE = 100 };
static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct client {
  int upgraded, place;  // place: in `live`
  void *tls;
  char *owed;
  size_t owed_from, owed_bytes, owed_room;  // the bytes begin at owed + owed_from
};
static struct client clients[MOST_CLIENTS];  // by descriptor
static int live[MOST_CLIENTS], living, epoll;
static char in[READ_BYTES * 2 + FLOOR_BEYOND], out[READ_BYTES * 2 / SHORTEST_LINE * FLOOR_MESSAGE_MAX_BYTES];
static struct source source;

static void watch(int fd, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(epoll, operation, fd, &event);
}

static void drop(int fd) {
  struct client *c = &clients[fd];
  if (c->upgraded) {
    live[c->place] = live[--living];
    clients[live[c->place]].place = c->place;
  }
  free(c->owed);
  wire_close(c->tls);
  *c = (struct client){0};
  close(fd);
}

static void owe(int fd, const char *p, size_t n) {
  struct client *c = &clients[fd];
  if (c->owed_bytes + n > OWED_MAX_BYTES) {
    drop(fd);
    return;
  }
  if (!c->owed_bytes) watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
  if (c->owed_from + c->owed_bytes + n > c->owed_room) {
    if (c->owed_bytes + n > c->owed_room / 2) {
      c->owed_room = 2 * (c->owed_bytes + n);
      c->owed = realloc(c->owed, c->owed_room);
    }
    memmove(c->owed, c->owed + c->owed_from, c->owed_bytes);  // half of the room is free then, so this is rare
    c->owed_from = 0;
  }
  memcpy(c->owed + c->owed_from + c->owed_bytes, p, n);
  c->owed_bytes += n;
}

static void pay(int fd) {
  struct client *c = &clients[fd];
  ssize_t sent = wire_send(c->tls, fd, c->owed + c->owed_from, c->owed_bytes);
  if (sent <= 0) return;
  c->owed_bytes -= (size_t)sent;
  c->owed_from = c->owed_bytes ? c->owed_from + (size_t)sent : 0;
  if (!c->owed_bytes) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void fan_out(const char *p, size_t n) {
  for (int i = living - 1; i >= 0; i--) {
    int fd = live[i];
    ssize_t sent = clients[fd].owed_bytes ? 0 : wire_send(clients[fd].tls, fd, p, n);
    if (sent == (ssize_t)n) continue;
    if (sent < 0 && errno != EAGAIN) drop(fd);
    else owe(fd, p + (sent > 0 ? sent : 0), n - (size_t)(sent > 0 ? sent : 0));
  }
}

// False at the end of the input.
static int on_lines(void) {
  static size_t have;
  ssize_t got = read(STDIN_FILENO, in + have, READ_BYTES);
  if (got <= 0) return 0;
  int64_t received_ns = now_ns();
  have += (size_t)got;
  char *p = in, *to = out;
  for (char *feed; (feed = memchr(p, '\n', have - (size_t)(p - in))); p = feed + 1) {
    if (to + FLOOR_MESSAGE_MAX_BYTES > out + sizeof out) {
      fan_out(out, (size_t)(to - out));
      to = out;
    }
    to = floor_tick(&source, p, feed, to, received_ns);
  }
  if (to > out) fan_out(out, (size_t)(to - out));
  have -= (size_t)(p - in);
  memmove(in, p, have);
  return have <= READ_BYTES;
}

static void on_client(int fd) {
  struct client *c = &clients[fd];
  char request[4096];
  ssize_t got = wire_recv(c->tls, fd, request, sizeof request);
  if (got <= 0 || (c->upgraded && (request[0] & 15) == 8) ||
      (!c->upgraded && (!memmem(request, (size_t)got, "dGhlIHNhbXBsZSBub25jZQ==", 24) || wire_send(c->tls, fd, ANSWER, sizeof ANSWER - 1) < 0))) {
    if (got < 0 && errno == EAGAIN) return;
    drop(fd);
    return;
  }
  if (c->upgraded) return;
  c->upgraded = 1;
  c->place = living;
  live[living++] = fd;
}

static int serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
    perror("floor");
    return 70;
  }
  epoll = epoll_create1(0);
  watch(listener, EPOLL_CTL_ADD, EPOLLIN);
  watch(STDIN_FILENO, EPOLL_CTL_ADD, EPOLLIN);
  for (struct epoll_event events[256];;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) {
        if (!on_lines()) return 0;
      } else if (fd == listener) {
        for (int client; (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          if (client >= MOST_CLIENTS) {
            close(client);
            continue;
          }
          setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          clients[client].tls = wire_open(client);
          watch(client, EPOLL_CTL_ADD, EPOLLIN);
        }
      } else {
        if (events[i].events & EPOLLOUT && clients[fd].owed_bytes) pay(fd);
        if (events[i].events & ~(uint32_t)EPOLLOUT) on_client(fd);
      }
    }
  }
}

static int measure(const char *file, long repeat) {
  FILE *f = fopen(file, "r");
  char *text = NULL;
  size_t room = 0;
  if (!f) return perror(file), 66;
  ssize_t size = getdelim(&text, &room, EOF, f);
  if (size <= 0) return 66;
  text = realloc(text, (size_t)size + FLOOR_BEYOND);
  int64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  while (repeat-- > 0) {
    int64_t received_ns = now_ns();
    char *to = out;
    for (char *p = text, *feed; (feed = memchr(p, '\n', (size_t)(text + size - p))); p = feed + 1) {
      if (to + FLOOR_MESSAGE_MAX_BYTES > out + sizeof out) to = out;
      to = floor_tick(&source, p, feed, to, received_ns);
    }
  }
  int64_t took_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
  free(text);
  fclose(f);
  printf("{\"ns\":%" PRId64 ",\"ticks\":%" PRIu64 "}\n", took_ns, source.ticks);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "--measure")) return measure(argv[2], atol(argv[3]));
  if (argc == 4 && !wire_encrypt(argv[2], argv[3])) return fputs("floor: no OpenSSL, or not a certificate and its key\n", stderr), 78;
  if (argc == 2 || argc == 4) return serve(atoi(argv[1]));
  fputs("usage: floor PORT [CERT KEY] | floor --measure FILE REPEAT\n", stderr);
  return 64;
}
