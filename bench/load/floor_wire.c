#define _GNU_SOURCE
#include "floor_wire.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "openssl.h"

static void *context;  // NULL: in plain text

int wire_encrypt(const char *cert_file, const char *key_file) {
  if (!openssl_load()) return 0;
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  context = SSL_CTX_new(TLS_server_method());
  if (!context || SSL_CTX_use_certificate_chain_file(context, cert_file) != 1 || SSL_CTX_use_PrivateKey_file(context, key_file, SSL_PEM) != 1) return 0;
  SSL_CTX_ctrl(context, SSL_SET_LEAST_VERSION, SSL_TLS_1_3, NULL);
  SSL_CTX_ctrl(context, SSL_SET_MODE, SSL_PARTIAL_WRITE | SSL_MOVING_WRITE_BUFFER, NULL);  // as send: part of it, and again from elsewhere
  return SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1;
}

void *wire_open(int fd) {
  if (!context) return NULL;
  void *tls = SSL_new(context);
  SSL_set_fd(tls, fd);
  SSL_set_accept_state(tls);
  return tls;
}

void wire_close(void *tls) {
  if (tls) SSL_free(tls);
}

static ssize_t result_of(void *tls, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(tls, result);
  errno = error == SSL_WANT_READ || error == SSL_WANT_WRITE ? EAGAIN : EPROTO;
  return error == SSL_ZERO_RETURN ? 0 : -1;
}

ssize_t wire_send(void *tls, int fd, const char *p, size_t n) {
  if (!tls) return send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  ERR_clear_error();
  size_t done = 0;  // a record at a time, as long as the socket takes them
  int result = 0;
  while (done < n && (result = SSL_write(tls, p + done, (int)(n - done))) > 0) done += (size_t)result;
  return done ? (ssize_t)done : result_of(tls, result);
}

ssize_t wire_recv(void *tls, int fd, char *p, size_t n) {
  if (!tls) return recv(fd, p, n, MSG_DONTWAIT);
  ERR_clear_error();
  return result_of(tls, SSL_read(tls, p, (int)n));  // it goes through with the handshake on its own
}
