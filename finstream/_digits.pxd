# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""Digits to numbers and numbers to digits, eight at a time in one register; the first digit is the lowest byte there."""

from libc.stdint cimport uint8_t, uint64_t

ctypedef const uint8_t* text

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "digits are read eight at a time on little-endian machines only"
    #endif
    #if defined(__SSE2__) && !defined(FS_PLAIN_C)
    #include <emmintrin.h>
    #endif
    /* Up to eight decimal digits at p as a number; returns how many there are. */
    static inline int fs_eight_digits(const unsigned char *p, uint64_t *value) {
      uint64_t x, other; int count;
      memcpy(&x, p, 8);
      x ^= 0x3030303030303030ull;
      other = (((x & 0x7f7f7f7f7f7f7f7full) + 0x7676767676767676ull) | x) & 0x8080808080808080ull;
      count = other ? __builtin_ctzll(other) >> 3 : 8;
      if (!count) { *value = 0; return 0; }
      x <<= (8 - count) * 8;   /* as if leading zeros stood before them */
      x = (x * 2561) >> 8;
      x = ((x & 0x00ff00ff00ff00ffull) * 6553601) >> 16;
      *value = ((x & 0x0000ffff0000ffffull) * 42949672960001ull) >> 32;
      return count;
    }
    /* Sixteen digits at p as a number. */
    static inline uint64_t fs_sixteen_digits(const unsigned char *p) {
    #if defined(__SSE2__) && !defined(FS_PLAIN_C)
      __m128i x = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8('0'));
      x = _mm_add_epi16(_mm_mullo_epi16(_mm_and_si128(x, _mm_set1_epi16(0xff)), _mm_set1_epi16(10)), _mm_srli_epi16(x, 8));
      x = _mm_madd_epi16(x, _mm_set1_epi32(1 << 16 | 100));
      x = _mm_madd_epi16(_mm_packs_epi32(x, x), _mm_set1_epi32(1 << 16 | 10000));
      uint64_t halves = (uint64_t)_mm_cvtsi128_si64(x);
      return (halves & 0xffffffff) * 100000000 + (halves >> 32);
    #else
      uint64_t high, low;
      fs_eight_digits(p, &high); fs_eight_digits(p + 8, &low);
      return high * 100000000 + low;
    #endif
    }
    /* A number below 10^8 as eight digits, not yet as characters: halves, then quarters, then single digits. */
    static inline uint64_t fs_split_digits(uint32_t value) {
      uint64_t high = value / 10000, x = high | (uint64_t)(value - high * 10000) << 32;
      uint64_t hundreds = ((x * 5243) >> 19) & 0x0000007f0000007full, tens;
      x = hundreds | (x - hundreds * 100) << 16;
      tens = ((x * 103) >> 10) & 0x000f000f000f000full;
      return tens | (x - tens * 10) << 8;
    }
    static inline unsigned char *fs_put_eight(unsigned char *o, uint32_t value) {
      uint64_t characters = fs_split_digits(value) | 0x3030303030303030ull;
      memcpy(o, &characters, 8);
      return o + 8;
    }
    /* May write up to seven bytes more than it must. */
    static inline unsigned char *fs_put_integer(unsigned char *o, uint64_t value) {
      if (value >= 100000000) return fs_put_eight(fs_put_integer(o, value / 100000000), (uint32_t)(value % 100000000));
      uint64_t digits = fs_split_digits((uint32_t)value), characters;
      int leading_zeros = __builtin_ctzll(digits | 1ull << 56) >> 3;
      characters = (digits | 0x3030303030303030ull) >> 8 * leading_zeros;
      memcpy(o, &characters, 8);
      return o + 8 - leading_zeros;
    }
    """
    uint64_t sixteen_digits "fs_sixteen_digits"(text p) noexcept nogil
    int eight_digits "fs_eight_digits"(text p, uint64_t* value) noexcept nogil
    uint8_t* put_integer "fs_put_integer"(uint8_t* o, uint64_t value) noexcept nogil
