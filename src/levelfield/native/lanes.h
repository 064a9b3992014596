// bfloat16 numbers, one and 16 at a time: read into float, computed on, rounded once as they are written.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

struct Bf16 {
  std::uint16_t bits;
};

inline float load(float x) { return x; }

inline float load(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float* to, float x) { *to = x; }

// Rounds to the nearest, ties to even; what is no number stays none.
inline void store(Bf16* to, float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to->bits = static_cast<std::uint16_t>(x == x ? rounded : 0x7fc0u);
}

inline void store_exact(float* to, float x) { *to = x; }

// What was a Bf16: nothing is rounded.
inline void store_exact(Bf16* to, float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to->bits = static_cast<std::uint16_t>(bits >> 16);
}

// Compilers lower these to the registers that there are.
typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef std::uint32_t Words __attribute__((vector_size(64)));
typedef std::uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));
constexpr int kLanes = 16;

// A register of this processor's: where many sums are kept at once, a Vector of two or four of them leaves no room.
#if defined(__AVX512F__)
constexpr int kRegister = 16;
#elif defined(__AVX__)
constexpr int kRegister = 8;
#else
constexpr int kRegister = 4;
#endif
typedef float Register __attribute__((vector_size(4 * kRegister), aligned(4), may_alias));

inline Vector all(float x) { return Vector{} + x; }

inline Vector read(const float* from) { return *reinterpret_cast<const Vector*>(from); }

inline Vector read(const Bf16* from) {
#ifdef __AVX512F__
  const auto words = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))), 16);
#else
  const Words words = __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Words) << 16;
#endif
  Vector value;
  std::memcpy(&value, &words, sizeof value);
  return value;
}

inline void write(float* to, const Vector& x) { *reinterpret_cast<Vector*>(to) = x; }

// As `store`, but that a processor's own instruction takes numbers below 1.2e-38 for zero.
inline void write(Bf16* to, const Vector& x) {
#ifdef __AVX512BF16__
  const auto halves = _mm512_cvtneps_pbh(reinterpret_cast<const __m512&>(x));
  std::memcpy(to, &halves, sizeof halves);
#else
  for (int c = 0; c < kLanes; ++c) store(to + c, x[c]);
#endif
}

// The first `count` lanes, where those are fewer than all; the others are read as zeros.
template <class T>
inline Vector read(const T* from, int count) {
  if (count >= kLanes) return read(from);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  __m512 found;
  if constexpr (sizeof(T) == sizeof(float)) found = _mm512_maskz_loadu_ps(mask, from);
  else found = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16));
  return reinterpret_cast<const Vector&>(found);
#else
  Vector value = {};
  for (int c = 0; c < count; ++c) value[c] = load(from[c]);
  return value;
#endif
}

template <class T>
inline void write(T* to, const Vector& x, int count) {
  if (count >= kLanes) return write(to, x);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (sizeof(T) == sizeof(float)) {
    _mm512_mask_storeu_ps(to, mask, reinterpret_cast<const __m512&>(x));
  } else {
    Bf16 rounded[kLanes];
    write(rounded, x);
    _mm256_mask_storeu_epi16(to, mask, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rounded)));
  }
#else
  for (int c = 0; c < count; ++c) store(to + c, x[c]);
#endif
}

inline float sum_of(const Vector& x) {
  float part[8];
  for (int c = 0; c < 8; ++c) part[c] = x[c] + x[c + 8];
  for (int c = 0; c < 4; ++c) part[c] += part[c + 4];
  return (part[0] + part[2]) + (part[1] + part[3]);
}

inline float most_of(const Vector& x) {
  float part[8];
  for (int c = 0; c < 8; ++c) part[c] = std::max(x[c], x[c + 8]);
  for (int c = 0; c < 4; ++c) part[c] = std::max(part[c], part[c + 4]);
  return std::max(std::max(part[0], part[2]), std::max(part[1], part[3]));
}

// x, but not below or above what is given. What is no number stays none.
inline Vector between(const Vector& x, float least, float most) {
#ifdef __AVX512F__
  const auto risen = _mm512_max_ps(_mm512_set1_ps(least), reinterpret_cast<const __m512&>(x));
  const auto bound = _mm512_min_ps(_mm512_set1_ps(most), risen);
  return reinterpret_cast<const Vector&>(bound);
#else
  const Vector risen = x < least ? all(least) : x;
  return risen > most ? all(most) : risen;
#endif
}

// exp to about 1e-5 relative: 2^n times a polynomial in the rest; 2^-126 and 2^127 at its ends.
inline Vector exp_lanes(const Vector& x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: added, the whole part stands in the lowest bits
  const Vector power = between(x * 1.44269504088896341f, -126.0f, 127.0f), shifted = power + kShift;
  const Vector r = power - (shifted - kShift);
  Vector p = all(9.570100344717503e-3f);
  p = p * r + 5.591785907745361e-2f;
  p = p * r + 2.40247443318367e-1f;
  p = p * r + 6.931217908859253e-1f;
  p = p * r + 9.999992847442627e-1f;
  Words bits, whole;
  std::memcpy(&bits, &p, sizeof bits);
  std::memcpy(&whole, &shifted, sizeof whole);
  bits += whole << 23;
  std::memcpy(&p, &bits, sizeof bits);
  return p;
}

// 1 / x to about 1e-7 relative, for x of at least 2^-126.
inline Vector inverse_of(const Vector& x) {
#ifdef __AVX512F__
  const auto rough = _mm512_rcp14_ps(reinterpret_cast<const __m512&>(x));
  const Vector guess = reinterpret_cast<const Vector&>(rough);
  return guess * (2.0f - x * guess);
#else
  return 1.0f / x;
#endif
}

inline Vector sigmoid(const Vector& z) { return inverse_of(1.0f + exp_lanes(-z)); }

}  // namespace
