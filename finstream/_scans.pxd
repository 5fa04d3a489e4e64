# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Sixteen bytes at a time: which of them are digits, where a string has to be looked at closely, what two texts have in common.

A mask has one bit a byte, the first byte's lowest. All functions read whole blocks, so up to 31 bytes more than they are asked
about. With SSE2, which every x86-64 has, a mask takes a few instructions; elsewhere the compiler makes of the loops what it can.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

ctypedef const uint8_t* text

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__) && !defined(FS_PLAIN_C)
    #include <emmintrin.h>
    #define FS_BLOCK(p) _mm_loadu_si128((const __m128i *)(p))
    /* gcc turns a comparison with a constant around, and back again with one more. */
    #define FS_OPAQUE(constant) __asm__("" : "+x"(constant))
    #define FS_MASK(block) ((uint32_t)_mm_movemask_epi8(block))
    static inline uint32_t fs_bytes_equal(const unsigned char *p, char c) {
      return FS_MASK(_mm_cmpeq_epi8(FS_BLOCK(p), _mm_set1_epi8(c)));
    }
    /* Bytes from `first` to `last` become the lowest numbers with a sign. */
    static inline uint32_t fs_outside(const unsigned char *p, char first, char last) {
      __m128i moved = _mm_add_epi8(FS_BLOCK(p), _mm_set1_epi8((char)(-128 - first))), highest = _mm_set1_epi8((char)(-128 + last - first));
      FS_OPAQUE(highest);
      return FS_MASK(_mm_cmpgt_epi8(moved, highest));
    }
    /* Quotes, backslashes, and what is less than `least` with a sign: that goes for everything beyond ASCII. */
    static inline uint32_t fs_stops(__m128i b, __m128i compared, int least) {
      __m128i special = _mm_or_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8('"')), _mm_cmpeq_epi8(b, _mm_set1_epi8(0x5c)));
      return FS_MASK(_mm_andnot_si128(special, _mm_cmpgt_epi8(compared, _mm_set1_epi8((char)(least - 1))))) ^ 0xffff;
    }
    static inline uint32_t fs_string_stops(const unsigned char *p) { return fs_stops(FS_BLOCK(p), FS_BLOCK(p), ' '); }
    /* One more than DEL is less than zero, too. */
    static inline uint32_t fs_symbol_stops(const unsigned char *p) {
      return fs_stops(FS_BLOCK(p), _mm_add_epi8(FS_BLOCK(p), _mm_set1_epi8(1)), ' ' + 1);
    }
    static inline uint32_t fs_common(const unsigned char *p, const unsigned char *q) {
      return FS_MASK(_mm_cmpeq_epi8(FS_BLOCK(p), FS_BLOCK(q)));
    }
    #else
    #define FS_MASK_OF(condition) uint32_t mask = 0; for (int i = 0; i < 16; i++) mask |= (uint32_t)!!(condition) << i; return mask
    static inline uint32_t fs_bytes_equal(const unsigned char *p, char c) { FS_MASK_OF(p[i] == (unsigned char)c); }
    static inline uint32_t fs_outside(const unsigned char *p, char first, char last) { FS_MASK_OF(p[i] < first || p[i] > last); }
    static inline uint32_t fs_string_stops(const unsigned char *p) {
      FS_MASK_OF(p[i] < ' ' || p[i] >= 0x80 || p[i] == '"' || p[i] == 0x5c);
    }
    static inline uint32_t fs_symbol_stops(const unsigned char *p) { return fs_string_stops(p) | fs_bytes_equal(p, 0x7f); }
    static inline uint32_t fs_common(const unsigned char *p, const unsigned char *q) { FS_MASK_OF(p[i] == q[i]); }
    #endif
    /* The first `length` bytes at p, 16 at most, as two words; zeros after them. */
    static inline void fs_first_bytes(uint64_t *words, const unsigned char *p, int length) {
      static const unsigned char KEEP[32] = {[0 ... 15] = 0xff};
      uint64_t keep[2];
      memcpy(keep, KEEP + (length < 16 ? 16 - length : 0), 16);
      memcpy(words, p, 16);
      words[0] &= keep[0];
      words[1] &= keep[1];
    }
    #define fs_lowest_bit(mask) __builtin_ctzll(mask)
    #define fs_highest_bit(mask) (31 - __builtin_clz(mask))
    """
    uint32_t bytes_equal "fs_bytes_equal"(text p, char c) noexcept nogil
    uint32_t outside "fs_outside"(text p, char first, char last) noexcept nogil
    uint32_t string_stops "fs_string_stops"(text p) noexcept nogil
    uint32_t common "fs_common"(text p, text q) noexcept nogil
    uint32_t symbol_stops "fs_symbol_stops"(text p) noexcept nogil
    void first_bytes "fs_first_bytes"(uint64_t* words, text p, int length) noexcept nogil
    int lowest_bit "fs_lowest_bit"(uint64_t mask) noexcept nogil     # of a mask that is not 0
    int highest_bit "fs_highest_bit"(uint32_t mask) noexcept nogil


cdef inline uint32_t non_digits(text p) noexcept nogil:
    return outside(p, 0x30, 0x39)
