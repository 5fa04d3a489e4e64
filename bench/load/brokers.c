// NATS and MQTT 3.1.1 inside WebSocket messages, as far as a subscriber of one topic meets them. Packets need not keep to the
// borders of messages.
#define _GNU_SOURCE
#include "brokers.h"

#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "receipts.h"

enum { MQTT_CONNACK = 2, MQTT_PUBLISH = 3, MQTT_SUBACK = 9 };

static void say(struct connection *c, const char *text, size_t n) { connection_send(c, OP_BINARY, text, n); }

static void subscribed(struct connection *c, int64_t now_ns) {
  if (!options.ready_at_tick) connection_ready(c, now_ns);
}

void broker_greet(struct connection *c) {
  if (options.protocol != MQTT) return;  // a NATS server speaks first
  char packet[64] = "\x10\0\0\4MQTT\4\2\0\0\0", name[16];
  int n = snprintf(name, sizeof name, "c%d", (int)(c - connections));
  packet[1] = (char)(12 + n);
  packet[13] = (char)n;
  memcpy(packet + 14, name, (size_t)n);
  say(c, packet, (size_t)(14 + n));
}

// Each returns how many bytes the packet at p has, or 0 while it is not whole.
static size_t on_nats(struct connection *c, const char *p, size_t n, int64_t received_ns) {
  static const char SUBSCRIBE[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nSUB ticks 1\r\nPING\r\n";
  const char *feed = memchr(p, '\n', n);
  if (!feed) return 0;
  size_t head = (size_t)(feed + 1 - p), length = 0;
  if (*p == 'M') {  // MSG subject sid [reply] length
    const char *digit = feed - 1;
    for (size_t unit = 1; digit > p && (unsigned)(digit[-1] - '0') < 10; unit *= 10) length += (size_t)(*--digit - '0') * unit;
    if (n - head < length + 2) return 0;
    receipt_take(c, p + head, length, received_ns);
    return head + length + 2;
  }
  if (head < 4) return head;
  if (!memcmp(p, "INFO", 4) && c->state == SUBSCRIBING) say(c, SUBSCRIBE, sizeof SUBSCRIBE - 1);
  else if (!memcmp(p, "PING", 4)) say(c, "PONG\r\n", 6);
  else if (!memcmp(p, "PONG", 4)) subscribed(c, received_ns);
  else if (*p == '-') connection_refused(c, "broker: ", p, head);
  return head;
}

static size_t on_mqtt(struct connection *c, const char *p, size_t n, int64_t received_ns) {
  size_t at = 1, length = 0;
  for (int shift = 0;; shift += 7) {
    if (at >= n || shift > 21) return 0;
    length |= (size_t)(p[at] & 127) << shift;
    if (!(p[at++] & 128)) break;
  }
  if (n - at < length) return 0;
  int kind = p[0] >> 4 & 15;
  if (kind == MQTT_PUBLISH && length >= 2) {
    size_t topic = 2 + ((size_t)(unsigned char)p[at] << 8 | (unsigned char)p[at + 1]);
    if (topic <= length) receipt_take(c, p + at + topic, length - topic, received_ns);
  } else if (kind == MQTT_CONNACK) say(c, "\x82\x0a\0\1\0\5ticks\0", 12);
  else if (kind == MQTT_SUBACK) subscribed(c, received_ns);
  return at + length;
}

void broker_take(struct connection *c, const char *data, size_t n, int64_t received_ns) {
  int whole = !c->inner.length;
  if (!whole) {
    bytes_append(&c->inner, data, n);
    data = c->inner.data, n = c->inner.length;
  }
  size_t done = 0, size;
  while (done < n && c->state != CLOSED) {
    size = (options.protocol == NATS ? on_nats : on_mqtt)(c, data + done, n - done, received_ns);
    if (!size) break;
    done += size;
  }
  if (c->state == CLOSED) return;
  if (whole) bytes_append(&c->inner, data + done, n - done);
  else bytes_drop(&c->inner, done);
}
