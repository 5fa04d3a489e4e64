# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Sixteen bytes at a time: which of them are digits, where a string has to be looked at closely, whether a text is the expected one.

A mask has one bit a byte, the first byte's lowest. All functions read whole blocks, so up to 31 bytes more than they are asked about.
With SSE2, which every x86-64 has, a mask takes three instructions; elsewhere the compiler makes of the loops what it can.
"""

from libc.stdint cimport uint8_t, uint32_t

ctypedef const uint8_t* text

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__SSE2__) && !defined(FS_PLAIN_C)
    #include <emmintrin.h>
    #define FS_BLOCK(p) _mm_loadu_si128((const __m128i *)(p))
    #define FS_MASK(block) ((uint32_t)_mm_movemask_epi8(block))
    static inline uint32_t fs_bytes_equal(const unsigned char *p, char c) {
      return FS_MASK(_mm_cmpeq_epi8(FS_BLOCK(p), _mm_set1_epi8(c)));
    }
    static inline uint32_t fs_digits(const unsigned char *p) {
      __m128i value = _mm_sub_epi8(FS_BLOCK(p), _mm_set1_epi8('0'));
      return FS_MASK(_mm_cmpeq_epi8(_mm_min_epu8(value, _mm_set1_epi8(9)), value));
    }
    /* Quotes, backslashes, control characters, and everything beyond ASCII, which is below zero here. */
    static inline uint32_t fs_string_stops(const unsigned char *p) {
      __m128i b = FS_BLOCK(p), special = _mm_or_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8('"')), _mm_cmpeq_epi8(b, _mm_set1_epi8('\\\\')));
      return FS_MASK(_mm_or_si128(special, _mm_cmplt_epi8(b, _mm_set1_epi8(' '))));
    }
    static inline uint32_t fs_common(const unsigned char *p, const unsigned char *q) {
      return FS_MASK(_mm_cmpeq_epi8(FS_BLOCK(p), FS_BLOCK(q)));
    }
    #else
    #define FS_MASK_OF(condition) uint32_t mask = 0; for (int i = 0; i < 16; i++) mask |= (uint32_t)!!(condition) << i; return mask;
    static inline uint32_t fs_bytes_equal(const unsigned char *p, char c) { FS_MASK_OF(p[i] == (unsigned char)c) }
    static inline uint32_t fs_digits(const unsigned char *p) { FS_MASK_OF((unsigned char)(p[i] - '0') < 10) }
    static inline uint32_t fs_string_stops(const unsigned char *p) { FS_MASK_OF(p[i] < ' ' || p[i] >= 0x80 || p[i] == '"' || p[i] == '\\\\') }
    static inline uint32_t fs_common(const unsigned char *p, const unsigned char *q) { FS_MASK_OF(p[i] == q[i]) }
    #endif
    /* Whether the bytes at p are those at expected as far as `wanted`, a bit each, says; 32 of them are readable there. */
    static inline int fs_is_text(const unsigned char *p, const unsigned char *expected, uint32_t wanted) {
      uint32_t common = fs_common(p, expected);
      if (wanted > 0xffff) common |= fs_common(p + 16, expected + 16) << 16;
      return (common & wanted) == wanted;
    }
    #define fs_lowest_bit(mask) __builtin_ctz(mask)
    #define fs_highest_bit(mask) (31 - __builtin_clz(mask))
    """
    uint32_t bytes_equal "fs_bytes_equal"(text p, char c) noexcept nogil
    uint32_t digits_at "fs_digits"(text p) noexcept nogil
    uint32_t string_stops "fs_string_stops"(text p) noexcept nogil
    bint is_text "fs_is_text"(text p, text expected, uint32_t wanted) noexcept nogil
    int lowest_bit "fs_lowest_bit"(uint32_t mask) noexcept nogil     # of a mask that is not 0
    int highest_bit "fs_highest_bit"(uint32_t mask) noexcept nogil
