#define _GNU_SOURCE
#include "tls.h"

#include <dlfcn.h>
#include <errno.h>

enum { WANT_READ = 2, WANT_WRITE = 3, ZERO_RETURN = 6, SET_READ_AHEAD = 41 };
#define FUNCTIONS(X)                                                \
  X(void *, TLS_client_method, (void))                              \
  X(void *, SSL_CTX_new, (void *))                                  \
  X(long, SSL_CTX_ctrl, (void *, int, long, void *))                \
  X(void *, SSL_new, (void *))                                      \
  X(void, SSL_free, (void *))                                       \
  X(int, SSL_set_fd, (void *, int))                                 \
  X(int, SSL_connect, (void *))                                     \
  X(int, SSL_read, (void *, void *, int))                           \
  X(int, SSL_write, (void *, const void *, int))                    \
  X(int, SSL_get_error, (const void *, int))                        \
  X(void, ERR_clear_error, (void))
#define POINTER(result, name, arguments) static result(*name) arguments;
FUNCTIONS(POINTER)

static void *context;

int tls_load(void) {
  void *library = dlopen("libssl.so.3", RTLD_NOW);
  if (!library) library = dlopen("libssl.so.1.1", RTLD_NOW);
  if (!library) return 0;
#define FIND(result, name, arguments) \
  if (!(*(void **)&name = dlsym(library, #name))) return 0;
  FUNCTIONS(FIND)
  context = SSL_CTX_new(TLS_client_method());
  if (context) SSL_CTX_ctrl(context, SET_READ_AHEAD, 1, NULL);  // else each record takes two reads
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
  return error == WANT_READ ? TLS_READ : error == WANT_WRITE ? TLS_WRITE : TLS_FAILED;
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
  errno = error == WANT_READ ? EAGAIN : EIO;
  return error == ZERO_RETURN ? 0 : -1;
}

void tls_close(void *tls) { SSL_free(tls); }
