// The floor's side of a connection: the socket, or OpenSSL straight on it (TLS 1.3, AES-128-GCM), which has nothing in between.
#pragma once
#include <stddef.h>
#include <sys/types.h>

int wire_encrypt(const char *cert_file, const char *key_file);   // from now on; false: no OpenSSL, or not such files
void *wire_open(int fd);                                         // NULL: in plain text
void wire_close(void *tls);
ssize_t wire_send(void *tls, int fd, const char *p, size_t n);   // as send, without waiting
ssize_t wire_recv(void *tls, int fd, char *p, size_t n);         // as recv, without waiting
