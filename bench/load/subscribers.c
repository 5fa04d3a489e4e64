#define _GNU_SOURCE
#include "subscribers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "brokers.h"
#include "clock.h"
#include "frames.h"
#include "receipts.h"
#include "tls.h"

// What is left in a socket keeps its sender waiting, and a backlog of some hundred sockets is more than the caches hold: so all of it is
// taken in one piece.
enum { RECV_BYTES = 1 << 20, MAX_HEAD_BYTES = 256 << 10 };
// The nonce of RFC 6455's own example: with it the right answer is known, and can be checked, without SHA-1.
#define NONCE "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static int epoll;
static char *inbox;          // what is being read: bytes left over from before, then RECV_BYTES
static int64_t received_ns;  // when the bytes in it came

// --- messages ---------------------------------------------------------------------------------------------------------------

static void on_message(struct connection *c, const char *text, size_t n) {
  if (c->state == SUBSCRIBING && options.protocol == PLAIN) connection_because("last message: ", text, n);
  if (options.protocol == PLAIN) receipt_take(c, text, n, received_ns);
  else broker_take(c, text, n, received_ns);
}

static void on_illegal(struct connection *c, const char *why) {
  run.illegal++;
  connection_because("not RFC 6455: ", why, strlen(why));
  connection_end(c);
}

static void on_data(struct connection *c, const struct frame *f, const char *payload) {
  int continues = f->opcode == OP_CONTINUATION;
  if (continues != (c->fragments.data != NULL)) {
    on_illegal(c, "fragments out of order");
    return;
  }
  if (f->final && !continues) {
    on_message(c, payload, f->length);
    return;
  }
  struct bytes *whole = &c->fragments;
  if (whole->length + f->length > FRAME_MAX_BYTES) {
    on_illegal(c, "the message is too long");
    return;
  }
  whole->data = realloc(whole->data, whole->length + f->length + 1);  // + 1: never NULL while a message is open
  memcpy(whole->data + whole->length, payload, f->length);
  whole->length += f->length;
  if (f->final) {
    on_message(c, whole->data, whole->length);
    bytes_set(whole, NULL, 0);
  }
}

static void on_close(struct connection *c, const unsigned char *payload, size_t n) {
  char code[32];
  snprintf(code, sizeof code, "closed with %d ", n >= 2 ? payload[0] << 8 | payload[1] : 1005);
  connection_send(c, OP_CLOSE, payload, n >= 2 ? 2 : 0);
  connection_because(code, (const char *)payload + 2, n > 2 ? n - 2 : 0);
  connection_end(c);
}

// Handles all whole frames; returns how many bytes they were.
static size_t on_frames(struct connection *c, const char *p, size_t n) {
  size_t at = receipts_skim(c, p, n, received_ns);
  struct frame f;
  const char *why;
  enum frame_state state;
  while ((state = frame_read((const unsigned char *)p + at, n - at, &f, &why)) == FRAME_WHOLE) {
    const char *payload = p + at + f.header;
    if (f.opcode < OP_CLOSE) on_data(c, &f, payload);
    else if (f.opcode == OP_CLOSE) on_close(c, (const unsigned char *)payload, f.length);
    else if (f.opcode == OP_PING) {
      run.pings++;
      connection_send(c, OP_PONG, payload, f.length);
    }
    if (c->state == CLOSED) return n;
    at += f.header + f.length;
    at += receipts_skim(c, p + at, n - at, received_ns);
  }
  if (state == FRAME_ILLEGAL) on_illegal(c, why);
  return at;
}

// --- connections ------------------------------------------------------------------------------------------------------------

static void watch(struct connection *c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(epoll, operation, c->fd, &event);
}

static void dial(struct connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  c->state = CONNECTING;
  census.connecting++;
  if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)) {
    connection_because("connect: ", strerror(errno), strlen(strerror(errno)));
    connection_end(c);
    return;
  }
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void on_connected(struct connection *c) {
  char request[2048];
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (options.tls && !error) {
    if (!c->tls) c->tls = tls_open(c->fd);
    enum tls_step step = tls_shake(c->tls);
    if (step == TLS_READ || step == TLS_WRITE) {
      watch(c, EPOLL_CTL_MOD, step == TLS_READ ? EPOLLIN : EPOLLOUT);
      return;
    }
    if (step == TLS_FAILED) error = EPROTO;
  }
  int n = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " NONCE
                   "\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                   options.paths ? options.paths[c - connections] : options.path, options.port,
                   options.subprotocol ? "Sec-WebSocket-Protocol: " : "", options.subprotocol ? options.subprotocol : "", options.subprotocol ? "\r\n" : "");
  if (error || n >= (int)sizeof request || connection_write(c, request, (size_t)n) != n) {
    connection_because("connect: ", strerror(error), strlen(strerror(error)));
    connection_end(c);
    return;
  }
  c->state = UPGRADING;
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

// One that dials again is expected to be remembered: it does not ask for its ticks a second time.
static void say_hello(struct connection *c) {
  c->hello_ns = now_ns();
  if (options.protocol != PLAIN) broker_greet(c);
  else if (!census.dialled_again) {
    for (int i = 0; i < options.hellos && c->state != CLOSED; i++) connection_send(c, OP_TEXT, options.hello[i], strlen(options.hello[i]));
    const char *own = options.own_hellos ? options.own_hellos[c - connections] : NULL;
    if (own && c->state != CLOSED) connection_send(c, OP_TEXT, own, strlen(own));
  }
}

// Handles the answer to the handshake if it is there; returns how many bytes it was.
static size_t on_upgrade(struct connection *c, const char *p, size_t n) {
  const char *blank = memmem(p, n, "\r\n\r\n", 4);
  if (!blank) return 0;
  size_t head = (size_t)(blank + 4 - p);
  if (memcmp(p, "HTTP/1.1 101", 12) != 0 || !memmem(p, head, ACCEPT, sizeof ACCEPT - 1)) {
    connection_because("handshake refused: ", p, n);
    connection_end(c);
    return n;
  }
  c->state = SUBSCRIBING;
  say_hello(c);
  if (c->state == SUBSCRIBING && options.protocol == PLAIN && !options.ready_text && !options.ready_at_tick) connection_ready(c, received_ns);
  return head;
}

// Returns whether there may be more that epoll knows nothing of.
static int on_readable(struct connection *c) {
  memcpy(inbox, c->unread.data ? c->unread.data : "", c->unread.length);
  char *at = inbox + c->unread.length;
  ssize_t got = c->tls ? tls_recv(c->tls, at, RECV_BYTES) : recv(c->fd, at, RECV_BYTES, 0);
  received_ns = now_ns();
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got <= 0) {
    connection_because("the connection was cut", "", 0);
    connection_end(c);
    return 0;
  }
  run.receives++;
  size_t n = c->unread.length + (size_t)got, done = 0;
  if (c->state == UPGRADING && n > MAX_HEAD_BYTES) {
    connection_because("handshake refused: its answer does not end", "", 0);
    connection_end(c);
    return 0;
  }
  if (c->state == UPGRADING) done = on_upgrade(c, inbox, n);
  if (c->state == SUBSCRIBING || c->state == READY) done += on_frames(c, inbox + done, n - done);
  if (c->state != CLOSED && (n > done || c->unread.length)) bytes_set(&c->unread, inbox + done, n - done);
  return c->tls && got == RECV_BYTES;
}

// --- the face ---------------------------------------------------------------------------------------------------------------

void subscribers_open(int epoll_fd) {
  epoll = epoll_fd;
  inbox = malloc(FRAME_MAX_BYTES + FRAME_MAX_HEADER + RECV_BYTES + 1);
}

void subscribers_dial(void) {
  if (!census.started) census.began_ns = now_ns();
  while (census.started < options.connections && census.connecting < options.at_once) dial(&connections[census.started++]);
}

void subscribers_redial(void) {
  for (int i = 0; i < options.connections; i++) {
    if (connections[i].state != UNUSED) connection_end(&connections[i]);
    connections[i].state = UNUSED;
  }
  census = (struct census){.dialled_again = 1};
  options.ready_at_tick = 1;  // there is no answer to a hello to wait for
  options.at_once = options.connections;  // nobody waits for another one's first tick
}

void subscribers_stall(void) {
  for (int i = 0; i < options.connections; i++)
    if (connections[i].state != CLOSED) watch(&connections[i], EPOLL_CTL_DEL, 0);
}

void subscribers_on_event(struct connection *c) {
  if (c->state == CONNECTING) on_connected(c);
  else
    while (c->state != CLOSED && on_readable(c)) {
    }
}
