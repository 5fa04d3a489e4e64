# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Identities of events, as 64-bit hashes, and which of them were seen lately.

A table has two generations that take turns, so that a window of ``window`` to twice as many identities is known. It is an array of
buckets, each a line of the cache: four slots of either generation. Whether an identity is known, and where it goes, is nearly always
decided by one such line. In a bucket a generation's slots are filled from the first one; what finds no room goes to the next bucket.
A generation is never more than half full.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset
from finstream._json cimport likely, text, unlikely
from finstream._scans cimport first_bytes

cdef enum:
    SLOTS = 4                       # of a generation in a bucket; they alternate with the other one's
    BUCKET = 2 * SLOTS

cdef struct Known:
    uint64_t* buckets               # window / 2 of them; 0: an empty slot. NULL: none was seen yet
    int window                      # a power of two, at least 4
    int taken                       # slots of the recent generation
    int turn                        # 0 or SLOTS: where in a bucket that generation stands

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    static inline uint64_t fs_mix(uint64_t a, uint64_t b) {
      unsigned __int128 product = (unsigned __int128)a * b;
      return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint64_t fs_hash_bytes(uint64_t h, const unsigned char *p, int length) {
      uint64_t word;
      h ^= (uint64_t)length * 0x9e3779b97f4a7c15ull;
      while (length > 0) {
        /* There is slack behind every line. */
        memcpy(&word, p, 8);
        if (length < 8) word &= (1ull << (8 * length)) - 1;
        h = fs_mix(h ^ word, 0xd6e8feb86659fd93ull);
        p += 8; length -= 8;
      }
      return h;
    }
    """
    uint64_t mix "fs_mix"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t hash_bytes "fs_hash_bytes"(uint64_t h, text p, int length) noexcept nogil
    void* aligned_alloc(size_t alignment, size_t size) noexcept nogil


cdef inline uint64_t hash_identity(uint64_t seed, text p, int length) noexcept nogil:
    """Of an id. Ids are rarely longer than 16 bytes, and of ever other lengths: no branch for those."""
    cdef uint64_t[2] words
    if unlikely(length > 16):
        return hash_bytes(seed, p, length)
    first_bytes(words, p, length)
    return mix(words[0] ^ seed, words[1] ^ <uint64_t> 0xc2b2ae3d27d4eb4f)


cdef inline uint64_t hash_among(uint64_t h, uint64_t whose) noexcept nogil:
    """Of an identity of one of many, each with a number of its own. It has to be hashed before: digits that differ in a few bits, and
    addresses that do, would make up for each other."""
    return mix(h ^ whose, <uint64_t> 0xd6e8feb86659fd93)


cdef inline uint64_t* bucket_of(const Known* known, uint64_t identity) noexcept nogil:
    return known.buckets + (identity >> 32 & <uint64_t> (known.window // 2 - 1)) * BUCKET


cdef inline uint64_t* next_bucket(const Known* known, const uint64_t* bucket) noexcept nogil:
    return known.buckets + (bucket - known.buckets + BUCKET & <int64_t> known.window * SLOTS - 1)


cdef inline uint64_t* find_slot(const Known* known, uint64_t identity, int turn) noexcept nogil:
    """Where it stands in that generation; else where it would."""
    cdef uint64_t* bucket = bucket_of(known, identity)
    cdef int i
    while True:
        for i in range(turn, turn + SLOTS):
            if bucket[i] == identity or bucket[i] == 0:
                return &bucket[i]
        bucket = next_bucket(known, bucket)


cdef inline bint take_turns(Known* known) noexcept nogil:
    """The first time, or when the recent generation is as large as it may become. False without memory."""
    cdef size_t size = <size_t> known.window * SLOTS * sizeof(uint64_t)
    cdef int i
    if known.buckets == NULL:
        known.buckets = <uint64_t*> aligned_alloc(BUCKET * sizeof(uint64_t), size)
        if known.buckets == NULL:
            return False
        memset(known.buckets, 0, size)
        known.taken = known.turn = 0
        return True
    known.turn ^= SLOTS
    known.taken = 0
    for i in range(known.window // 2):
        memset(&known.buckets[i * BUCKET + known.turn], 0, SLOTS * sizeof(uint64_t))
    return True


cdef inline bint is_absent(const uint64_t* b, uint64_t identity) noexcept nogil:
    """Whether its bucket says for certain that it is not known. What stands there cannot be foretold: one branch for all of it."""
    return likely((b[SLOTS - 1] | b[BUCKET - 1]) == 0 and not (
        (b[0] == identity) | (b[1] == identity) | (b[2] == identity) | (b[4] == identity) | (b[5] == identity) | (b[6] == identity)))


cdef inline bint was_seen(Known* known, uint64_t identity) noexcept nogil:
    """Whether the identity, which is not 0, is known; from now on it is."""
    cdef uint64_t* recent
    if unlikely(known.buckets == NULL or known.taken == known.window) and not take_turns(known):
        return False  # without memory every tick is believed
    if likely(is_absent(bucket_of(known, identity), identity)):
        recent = bucket_of(known, identity) + known.turn
        recent[(recent[0] != 0) + (recent[1] != 0) + (recent[2] != 0)] = identity
        known.taken += 1
        return False
    return was_seen_further(known, identity)


cdef inline bint was_seen_further(Known* known, uint64_t identity) noexcept nogil:
    cdef uint64_t* slot = find_slot(known, identity, known.turn)
    if slot[0] == identity:
        return True
    slot[0] = identity
    known.taken += 1
    return find_slot(known, identity, known.turn ^ SLOTS)[0] == identity


cdef inline bint knows(const Known* known, uint64_t identity) noexcept nogil:
    """Whether the identity is known, and no more than that."""
    if known.buckets == NULL or is_absent(bucket_of(known, identity), identity):
        return False
    return find_slot(known, identity, 0)[0] == identity or find_slot(known, identity, SLOTS)[0] == identity


cdef inline void forget_known(Known* known) noexcept nogil:
    free(known.buckets)
    known.buckets = NULL
    known.taken = 0
