// What brokers speak inside WebSocket messages.
#pragma once
#include "connection.h"

void broker_greet(struct connection *c);  // what is to be said after the handshake
void broker_take(struct connection *c, const char *data, size_t n, int64_t received_ns);  // the next bytes of the inner stream
