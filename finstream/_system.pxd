# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""What the native threads, the pump's and the TLS acceptor's, ask of the system."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "<fcntl.h>" nogil:
    int fcntl(int fd, int command, ...)
    enum: F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, O_NONBLOCK

cdef extern from *:
    """
    #include <pthread.h>
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <sys/socket.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/ioctl.h>
    #include <sys/timerfd.h>
    #include <time.h>
    #ifndef F_GETPIPE_SZ
    #define F_GETPIPE_SZ 1032
    #endif
    static inline int fs_load(int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }
    static inline void fs_store(int *flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
    static inline int64_t fs_now(clockid_t clock) {
      struct timespec t; clock_gettime(clock, &t); return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int fs_epoll(int set, int operation, int fd, uint32_t events, uint64_t data) {
      struct epoll_event e; e.events = events; e.data.u64 = data; return epoll_ctl(set, operation, fd, &e);
    }
    /* Accept one connection, ready for use; its peer's name goes to name (64 bytes). */
    static inline int fs_accept(int listener, char *name) {
      struct sockaddr_storage a; socklen_t size = sizeof a; int one = 1; char host[INET6_ADDRSTRLEN] = "?";
      int fd = accept4(listener, (struct sockaddr *)&a, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return -1;
      name[0] = 0;
      if (a.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(name, 64, "%s:%u", host, ntohs(v4->sin_port));
      } else if (a.ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(name, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
      }
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      return fd;
    }
    static inline void fs_reset_on_close(int fd) {
      struct linger l = {1, 0}; setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
    static inline int fs_is_socket(int fd) {
      int type; socklen_t size = sizeof type; return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    }
    /* Let a timer ring every so many ms from now on; 0: never. */
    static inline int fs_ring_every(int timer, int ms) {
      struct itimerspec t = {{ms / 1000, ms % 1000 * 1000000L}, {ms / 1000, ms % 1000 * 1000000L}};
      return timerfd_settime(timer, 0, &t, NULL);
    }
    static inline int fs_waiting_bytes(int fd) { int n = 0; return ioctl(fd, FIONREAD, &n) == 0 ? n : 0; }
    """
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*) nogil
    int pthread_mutex_destroy(pthread_mutex_t*) nogil
    int pthread_mutex_lock(pthread_mutex_t*) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t*) noexcept nogil
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int) nogil
    int epoll_wait(int, epoll_event*, int, int) noexcept nogil
    int eventfd(unsigned int, int) nogil
    int timerfd_create(int clock, int flags) nogil
    int shutdown(int fd, int how) noexcept nogil
    ssize_t recv(int fd, void* data, size_t length, int flags) noexcept nogil
    int EPOLLIN, EPOLLOUT, EPOLLET, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC
    int EFD_CLOEXEC, EFD_NONBLOCK, TFD_CLOEXEC, TFD_NONBLOCK, SHUT_WR
    int CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, F_GETPIPE_SZ
    int load "fs_load"(int* flag) noexcept nogil
    void store "fs_store"(int* flag, int value) noexcept nogil
    int64_t now_ns "fs_now"(int clock) noexcept nogil
    int epoll_change "fs_epoll"(int set, int operation, int fd, uint32_t events, uint64_t data) noexcept nogil
    int accept_connection "fs_accept"(int listener, char* name) noexcept nogil
    void reset_on_close "fs_reset_on_close"(int fd) noexcept nogil
    bint is_socket "fs_is_socket"(int fd) noexcept nogil
    int ring_every "fs_ring_every"(int timer, int ms) noexcept nogil
    int waiting_bytes "fs_waiting_bytes"(int fd) noexcept nogil
