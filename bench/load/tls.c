#define _GNU_SOURCE
#include "tls.h"

#include <errno.h>

#include "openssl.h"

static void *context;

int tls_load(void) {
  if (!openssl_load()) return 0;
  context = SSL_CTX_new(TLS_client_method());
  if (context) SSL_CTX_ctrl(context, SSL_SET_READ_AHEAD, 1, NULL);  // else each record takes two reads
  return context != NULL;
}

void *tls_open(int fd) {
  void *tls = SSL_new(context);
  SSL_set_fd(tls, fd);
  return tls;
}

enum tls_step tls_shake(void *tls) {
  ERR_clear_error();
  int result = SSL_connect(tls);
  if (result == 1) return TLS_DONE;
  int error = SSL_get_error(tls, result);
  return error == SSL_WANT_READ ? TLS_READ : error == SSL_WANT_WRITE ? TLS_WRITE : TLS_FAILED;
}

ssize_t tls_send(void *tls, const void *data, size_t n) {
  ERR_clear_error();
  return SSL_write(tls, data, (int)n);
}

ssize_t tls_recv(void *tls, void *data, size_t n) {
  size_t have = 0;
  int got = 1;
  ERR_clear_error();
  while (have < n && (got = SSL_read(tls, (char *)data + have, (int)(n - have))) > 0) have += (size_t)got;
  if (have) return (ssize_t)have;
  int error = SSL_get_error(tls, got);
  errno = error == SSL_WANT_READ ? EAGAIN : EIO;
  return error == SSL_ZERO_RETURN ? 0 : -1;
}

void tls_close(void *tls) { SSL_free(tls); }
