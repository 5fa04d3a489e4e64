"""What is used of OpenSSL (3 or 1.1.1), found in its shared library when it is needed first: building needs no headers.

The values of the constants are part of its binary interface. Each native module that uses it finds it for itself.
"""

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <dlfcn.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #include <time.h>
    enum { FS_WANT_READ = 2, FS_WANT_WRITE = 3, FS_SYSCALL = 5, FS_ZERO_RETURN = 6 };  /* SSL_get_error */
    #define FS_FUNCTIONS(X) \\
      X(void *, TLS_server_method, (void)) \\
      X(void *, SSL_CTX_new, (void *method)) \\
      X(void, SSL_CTX_free, (void *context)) \\
      X(long, SSL_CTX_ctrl, (void *context, int command, long number, void *pointer)) \\
      X(uint64_t, SSL_CTX_set_options, (void *context, uint64_t options)) \\
      X(int, SSL_CTX_set_ciphersuites, (void *context, const char *names)) \\
      X(int, SSL_CTX_set_cipher_list, (void *context, const char *names)) \\
      X(int, SSL_CTX_set_num_tickets, (void *context, size_t number)) \\
      X(void, SSL_CTX_set_default_passwd_cb, (void *context, int (*ask)(char *, int, int, void *))) \\
      X(int, SSL_CTX_use_certificate_chain_file, (void *context, const char *path)) \\
      X(int, SSL_CTX_use_PrivateKey_file, (void *context, const char *path, int type)) \\
      X(int, SSL_CTX_check_private_key, (const void *context)) \\
      X(void *, SSL_CTX_get0_certificate, (const void *context)) \\
      X(const void *, X509_get0_notBefore, (const void *certificate)) \\
      X(const void *, X509_get0_notAfter, (const void *certificate)) \\
      X(int, ASN1_TIME_to_tm, (const void *time, struct tm *fields)) \\
      X(void *, SSL_new, (void *context)) \\
      X(int, SSL_up_ref, (void *ssl)) \\
      X(void, SSL_free, (void *ssl)) \\
      X(int, SSL_set_fd, (void *ssl, int fd)) \\
      X(int, SSL_accept, (void *ssl)) \\
      X(int, SSL_read, (void *ssl, void *data, int length)) \\
      X(int, SSL_write, (void *ssl, const void *data, int length)) \\
      X(int, SSL_shutdown, (void *ssl)) \\
      X(int, SSL_get_error, (const void *ssl, int result)) \\
      X(void, SSL_set0_wbio, (void *ssl, void *bio)) \\
      X(void *, BIO_meth_new, (int type, const char *name)) \\
      X(int, BIO_meth_set_write, (void *method, int (*write)(void *, const char *, int))) \\
      X(int, BIO_meth_set_ctrl, (void *method, long (*control)(void *, int, long, void *))) \\
      X(int, BIO_meth_set_create, (void *method, int (*create)(void *))) \\
      X(void *, BIO_new, (const void *method)) \\
      X(void, BIO_set_init, (void *bio, int init)) \\
      X(void, BIO_set_data, (void *bio, void *data)) \\
      X(void *, BIO_get_data, (void *bio)) \\
      X(unsigned long, ERR_peek_error, (void)) \\
      X(void, ERR_clear_error, (void)) \\
      X(const char *, ERR_reason_error_string, (unsigned long error))
    #define FS_POINTER(result, name, arguments) static result (*fs_##name) arguments;
    FS_FUNCTIONS(FS_POINTER)
    static int fs_loaded;
    /* NULL, or the name of what could not be found. */
    static const char *fs_load_openssl(void) {
      void *library;
      if (fs_loaded) return NULL;
      library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
      if (!library) library = dlopen("libssl.so.1.1", RTLD_NOW | RTLD_LOCAL);
      if (!library) return "libssl.so.3";
    #define FS_FIND(result, name, arguments) if (!(*(void **)&fs_##name = dlsym(library, #name))) return #name;
      FS_FUNCTIONS(FS_FIND)
      fs_loaded = 1;
      return NULL;
    }
    static int fs_no_password(char *a, int b, int c, void *d) { (void)a; (void)b; (void)c; (void)d; return 0; }
    /* TLS 1.2 or newer; AES with 128 bits first, since it is the cheapest by far and strong enough for anything public; no
       renegotiation, which lets a client make us work at will; no memory of sessions. No tickets after the handshake either: programs
       hardly ever use them, and in those that send and receive in two threads (Python's ssl before 3.13) a ticket that arrives while the
       first request is written garbles the connection. Buffers of idle connections are released. A record that is no data ends a
       read: else a peer could keep a thread at it. */
    static void *fs_new_context(void) {
      void *context = fs_SSL_CTX_new(fs_TLS_server_method());
      if (!context) return NULL;
      fs_SSL_CTX_ctrl(context, 123, 0x0303, NULL);                /* SSL_CTX_set_min_proto_version */
      fs_SSL_CTX_ctrl(context, 33, 0x1 | 0x2 | 0x10, NULL);       /* mode: partial writes, moving buffer, release buffers */
      fs_SSL_CTX_ctrl(context, 78, 0x4, NULL);                    /* not: read on after what is no data */
      fs_SSL_CTX_ctrl(context, 44, 0, NULL);                      /* session cache: off */
      fs_SSL_CTX_set_options(context, 0x00020000u | 0x00400000u | 0x40000000u);  /* no compression, our order, no renegotiation */
      fs_SSL_CTX_set_num_tickets(context, 0);
      fs_SSL_CTX_set_default_passwd_cb(context, fs_no_password);
      if (fs_SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
          fs_SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1)
        return context;
      fs_SSL_CTX_free(context);
      return NULL;
    }
    /* The reason of the oldest error of this thread; and there are none afterwards. */
    static const char *fs_openssl_reason(void) {
      const char *reason = fs_ERR_reason_error_string(fs_ERR_peek_error());
      fs_ERR_clear_error();
      return reason ? reason : "unknown error";
    }
    /* When a context's certificate begins or ceases to be valid, in seconds since the epoch; -1: it does not say. */
    static int64_t fs_validity(void *context, int end) {
      void *certificate = fs_SSL_CTX_get0_certificate(context);
      struct tm fields;
      if (!certificate || !fs_ASN1_TIME_to_tm((end ? fs_X509_get0_notAfter : fs_X509_get0_notBefore)(certificate), &fields)) return -1;
      return timegm(&fields);
    }
    """
    int FS_WANT_READ, FS_WANT_WRITE, FS_SYSCALL, FS_ZERO_RETURN
    const char* load_openssl "fs_load_openssl"() noexcept nogil
    void* new_context "fs_new_context"() noexcept nogil
    int64_t validity "fs_validity"(void* context, bint end) noexcept nogil
    const char* openssl_reason "fs_openssl_reason"() noexcept nogil
    void SSL_CTX_free "fs_SSL_CTX_free"(void* context) noexcept nogil
    int SSL_CTX_use_certificate_chain_file "fs_SSL_CTX_use_certificate_chain_file"(void* context, const char* path) noexcept nogil
    int SSL_CTX_use_PrivateKey_file "fs_SSL_CTX_use_PrivateKey_file"(void* context, const char* path, int type) noexcept nogil
    int SSL_CTX_check_private_key "fs_SSL_CTX_check_private_key"(void* context) noexcept nogil
    int SSL_up_ref "fs_SSL_up_ref"(void* ssl) noexcept nogil
    void* SSL_new "fs_SSL_new"(void* context) noexcept nogil
    void SSL_free "fs_SSL_free"(void* ssl) noexcept nogil
    int SSL_set_fd "fs_SSL_set_fd"(void* ssl, int fd) noexcept nogil
    int SSL_accept "fs_SSL_accept"(void* ssl) noexcept nogil
    int SSL_read "fs_SSL_read"(void* ssl, void* data, int length) noexcept nogil
    int SSL_write "fs_SSL_write"(void* ssl, const void* data, int length) noexcept nogil
    int SSL_shutdown "fs_SSL_shutdown"(void* ssl) noexcept nogil
    int SSL_get_error "fs_SSL_get_error"(void* ssl, int result) noexcept nogil
    void ERR_clear_error "fs_ERR_clear_error"() noexcept nogil
