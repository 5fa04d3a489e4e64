// The functions of OpenSSL that the tools call, found at run time, so that building needs no headers. Each file that includes this has pointers
// of its own, which openssl_load fills in.
#pragma once
#include <dlfcn.h>

enum { SSL_WANT_READ = 2, SSL_WANT_WRITE = 3, SSL_ZERO_RETURN = 6 };                              // of SSL_get_error
enum { SSL_SET_MODE = 33, SSL_SET_READ_AHEAD = 41, SSL_SET_LEAST_VERSION = 123 };                 // for SSL_CTX_ctrl
enum { SSL_PARTIAL_WRITE = 1, SSL_MOVING_WRITE_BUFFER = 2, SSL_PEM = 1, SSL_TLS_1_3 = 0x0304 };
#define OPENSSL_FUNCTIONS(X)                                        \
  X(void *, TLS_client_method, (void))                              \
  X(void *, TLS_server_method, (void))                              \
  X(void *, SSL_CTX_new, (void *))                                  \
  X(long, SSL_CTX_ctrl, (void *, int, long, void *))                \
  X(int, SSL_CTX_set_ciphersuites, (void *, const char *))          \
  X(int, SSL_CTX_use_certificate_chain_file, (void *, const char *))\
  X(int, SSL_CTX_use_PrivateKey_file, (void *, const char *, int))  \
  X(void *, SSL_new, (void *))                                      \
  X(void, SSL_free, (void *))                                       \
  X(int, SSL_set_fd, (void *, int))                                 \
  X(int, SSL_connect, (void *))                                     \
  X(void, SSL_set_accept_state, (void *))                           \
  X(int, SSL_read, (void *, void *, int))                           \
  X(int, SSL_write, (void *, const void *, int))                    \
  X(int, SSL_get_error, (const void *, int))                        \
  X(void, ERR_clear_error, (void))
#define OPENSSL_POINTER(result, name, arguments) static result(*name) arguments __attribute__((unused));
OPENSSL_FUNCTIONS(OPENSSL_POINTER)

// False where there is no OpenSSL of a version that has them all.
static int openssl_load(void) {
  void *library = dlopen("libssl.so.3", RTLD_NOW);
  if (!library) library = dlopen("libssl.so.1.1", RTLD_NOW);
  if (!library) return 0;
#define OPENSSL_FIND(result, name, arguments) \
  if (!(*(void **)&name = dlsym(library, #name))) return 0;
  OPENSSL_FUNCTIONS(OPENSSL_FIND)
  return 1;
}
