// The connections of the load client as a whole: dialling, handshake and frames.
#pragma once
#include "connection.h"

void subscribers_open(int epoll);                 // room for all connections; their events carry a pointer to theirs
void subscribers_dial(void);                      // the next ones, so that at most `at_once` are on their way
void subscribers_redial(void);                    // cut all connections, to make them again
void subscribers_stall(void);                     // read no more from any of them
void subscribers_on_event(struct connection *c);
