// The producer's lines. They are prepared once and only get their stamp and index written in, so that producing costs little of the
// core that the load client needs too. 2,048 different ones are more than a branch predictor remembers.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { LINE_MAX_BYTES = 320, STAMP_DIGITS = 19, INDEX_DIGITS = 10 };
enum publish { TO_STDOUT, TO_NATS, TO_MQTT };  // how a line is wrapped

struct line {
  char text[LINE_MAX_BYTES];
  int length, stamp, index;
};

// `symbols` 0: eight well-known ones, drawn; else the tick with index i is about the symbol Si%symbols/USD.
void lines_prepare(int symbols, enum publish publish);
// Writes the line with this index; returns its length.
size_t line_write(char *to, uint64_t index, int64_t stamp_ns);
// Connects standard output to a broker on 127.0.0.1. False with errno set when that fails.
int lines_dial(enum publish publish, int port);
