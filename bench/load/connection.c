#define _GNU_SOURCE
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "tls.h"

struct options options = {.connections = 1, .path = "/", .cpu = -1, .at_once = 100, .stamp_unit_ns = 1, .timeout_ns = 30000000000};
struct census census;
struct connection *connections;

// Keeps what can be put between quotes in JSON as it is.
void connection_because(const char *what, const char *detail, size_t n) {
  int at = snprintf(census.reason, sizeof census.reason, "%s", what);
  for (size_t i = 0; i < n && at + 1 < (int)sizeof census.reason; i++)
    census.reason[at++] = detail[i] == '"' ? '\'' : detail[i] == '\\' || detail[i] < ' ' || detail[i] > '~' ? '?' : detail[i];
  census.reason[at < (int)sizeof census.reason ? at : (int)sizeof census.reason - 1] = 0;
}

void bytes_set(struct bytes *b, const char *data, size_t n) {
  char *copy = NULL;
  if (n) {
    copy = malloc(n);
    memcpy(copy, data, n);
  }
  free(b->data);
  *b = (struct bytes){copy, n};
}

void bytes_append(struct bytes *b, const char *data, size_t n) {
  if (!n) return;
  b->data = realloc(b->data, b->length + n);
  memcpy(b->data + b->length, data, n);
  b->length += n;
}

void bytes_drop(struct bytes *b, size_t n) {
  b->length -= n;
  if (b->length) memmove(b->data, b->data + n, b->length);
  else bytes_set(b, NULL, 0);
}

void connection_end(struct connection *c) {
  if (c->state == CLOSED) return;
  if (c->state == READY) {
    census.ready--;
    census.closed++;
  } else {
    census.connecting--;
    census.failed++;
  }
  c->state = CLOSED;
  if (c->tls) tls_close(c->tls);
  c->tls = NULL;
  close(c->fd);
  bytes_set(&c->unread, NULL, 0);
  bytes_set(&c->fragments, NULL, 0);
  bytes_set(&c->inner, NULL, 0);
}

ssize_t connection_write(struct connection *c, const void *data, size_t n) {
  return c->tls ? tls_send(c->tls, data, n) : send(c->fd, data, n, MSG_NOSIGNAL);
}

void connection_send(struct connection *c, int opcode, const void *payload, size_t n) {
  static uint32_t mask = 2463534242u;
  unsigned char out[65536 + FRAME_MAX_HEADER];
  mask ^= mask << 13, mask ^= mask >> 17, mask ^= mask << 5;
  size_t size = frame_write(out, opcode, payload, n < 65536 ? n : 65535, mask);
  if (connection_write(c, out, size) != (ssize_t)size) {
    connection_because("could not send", "", 0);
    connection_end(c);
  }
}

void connection_ready(struct connection *c, int64_t now_ns) {
  if (c->state != SUBSCRIBING) return;
  c->state = READY;
  census.connecting--;
  census.ready++;
  histogram_record(&census.ready_after, now_ns - census.began_ns);
  histogram_record(&census.answered_after, now_ns - c->hello_ns);
}

void connection_refused(struct connection *c, const char *why, const char *detail, size_t n) {
  connection_because(why, detail, n);
  connection_end(c);
}
