#define _GNU_SOURCE
#include "lines.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LEAST_LINES = 2048, MQTT_PUBLISH = 0x30 };
#define TOPIC "ticks"

static struct line *lines;
static uint64_t count;

static uint32_t draw(void) {
  static uint32_t state = 2463534242u;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

static int write_line_text(char *to, size_t room, const char *numbered) {
  static const struct {
    const char *symbol;
    double price;
    int decimals;
  } SYMBOLS[] = {{"BTC/USDT", 67123.45, 2}, {"ETH/USDT", 3512.07, 2}, {"SOL/USDT", 171.334, 3},  {"XRP/USDT", 0.52341, 5},
                 {"BNB/USDT", 598.12, 2},   {"ADA/USDT", 0.44712, 5}, {"DOGE/USDT", 0.123456, 6}, {"LTC/USDT", 84.215, 3}};
  int s = (int)(draw() % 8), d = SYMBOLS[s].decimals;
  double price = SYMBOLS[s].price * (1 + ((int)(draw() % 2001) - 1000) / 1e5), half_spread = price * 1e-5;
  return snprintf(to, room, "{\"symbol\":\"%s\",\"price\":\"%.*f\",\"volume\":\"%.*f\",\"ts\":%0*d,\"bid\":\"%.*f\",\"ask\":\"%.*f\",\"trade_id\":\"%0*d\"}\n",
                  numbered ? numbered : SYMBOLS[s].symbol, d, price, 3 + (int)(draw() % 4), (draw() % 1000000 + 1) / 1e5, STAMP_DIGITS, 0, d,
                  price - half_spread, d, price + half_spread, INDEX_DIGITS, 0);
}

// As the broker's protocol wants it; a line feed is part of a line on standard output only.
static int wrap(char *to, const char *text, int length, enum publish publish) {
  int n = 0;
  if (publish == TO_NATS) n = sprintf(to, "PUB " TOPIC " %d\r\n", length - 1);
  if (publish == TO_MQTT) {
    int rest = length - 1 + 2 + (int)sizeof TOPIC - 1;
    to[n++] = MQTT_PUBLISH;
    for (; rest > 127; rest >>= 7) to[n++] = (char)(rest | 128);
    to[n++] = (char)rest;
    memcpy(to + n, "\0\5" TOPIC, sizeof TOPIC + 1);
    n += (int)sizeof TOPIC + 1;
  }
  memcpy(to + n, text, (size_t)length);
  n += length - (publish != TO_STDOUT);
  if (publish == TO_NATS) n += sprintf(to + n, "\r\n");
  return n;
}

void lines_prepare(int symbols, enum publish publish) {
  count = symbols ? (uint64_t)symbols * (uint64_t)(LEAST_LINES / symbols + 1) : LEAST_LINES;
  lines = calloc(count, sizeof *lines);
  for (uint64_t i = 0; i < count; i++) {
    struct line *l = &lines[i];
    char text[LINE_MAX_BYTES], numbered[24];
    snprintf(numbered, sizeof numbered, "S%d/USD", symbols ? (int)(i % (uint64_t)symbols) : 0);
    l->length = wrap(l->text, text, write_line_text(text, sizeof text, symbols ? numbered : NULL), publish);
    char *stamp = memmem(l->text, (size_t)l->length, "\"ts\":", 5), *index = memmem(l->text, (size_t)l->length, "\"trade_id\":", 11);
    l->stamp = (int)(stamp - l->text) + 5;
    l->index = (int)(index - l->text) + 12;
  }
}

static void write_digits(char *to, uint64_t value, int width) {
  while (width--) {
    to[width] = (char)('0' + value % 10);
    value /= 10;
  }
}

size_t line_write(char *to, uint64_t index, int64_t stamp_ns) {
  const struct line *l = &lines[index % count];
  memcpy(to, l->text, (size_t)l->length);
  write_digits(to + l->stamp, (uint64_t)stamp_ns, STAMP_DIGITS);
  write_digits(to + l->index, index, INDEX_DIGITS);
  return (size_t)l->length;
}

// What the broker answers stays unread: a greeting and a ping or two. It would disconnect us for that after minutes.
int lines_dial(enum publish publish, int port) {
  static const char NATS[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n", MQTT[] = "\x10\x14\0\4MQTT\4\2\0\0\0\x8producer";
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) return 0;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const char *greeting = publish == TO_NATS ? NATS : MQTT;
  ssize_t n = (ssize_t)(publish == TO_NATS ? sizeof NATS : sizeof MQTT) - 1;
  return send(fd, greeting, (size_t)n, MSG_NOSIGNAL) == n && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO;
}
