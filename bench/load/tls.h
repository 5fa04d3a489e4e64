// TLS of the load client, by the OpenSSL that the machine has: found at run time, so building needs no headers. It trusts anybody:
// what is measured is on this machine.
#pragma once
#include <stddef.h>
#include <sys/types.h>

enum tls_step { TLS_DONE, TLS_READ, TLS_WRITE, TLS_FAILED };

int tls_load(void);                                          // false: there is no OpenSSL
void *tls_open(int fd);                                      // a session over a connected socket
enum tls_step tls_shake(void *tls);                          // goes on with the handshake; what it waits for
ssize_t tls_send(void *tls, const void *data, size_t n);     // as send: n, or -1
ssize_t tls_recv(void *tls, void *data, size_t n);           // as recv, and takes all there is, up to n
void tls_close(void *tls);
