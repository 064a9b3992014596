// Maps read, computed on and written a register of this processor's at a time.

#pragma once

#include <type_traits>

#include "lanes.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

typedef std::uint32_t RegisterWords __attribute__((vector_size(4 * kRegister)));
typedef std::uint16_t RegisterHalves __attribute__((vector_size(2 * kRegister), aligned(2), may_alias));

// In place of a number of lanes: all of a register.
struct Whole {};

inline Register each(float x) { return Register{} + x; }

inline Register get(const float* from, Whole) { return *reinterpret_cast<const Register*>(from); }

inline Register get(const Bf16* from, Whole) {
  const RegisterWords words = __builtin_convertvector(*reinterpret_cast<const RegisterHalves*>(from), RegisterWords) << 16;
  Register value;
  std::memcpy(&value, &words, sizeof value);
  return value;
}

inline void put(float* to, const Register& x, Whole) { *reinterpret_cast<Register*>(to) = x; }

inline void put(Bf16* to, const Register& x, Whole) {
  if constexpr (kRegister == kLanes) return write(to, reinterpret_cast<const Vector&>(x));
  for (int c = 0; c < kRegister; ++c) store(to + c, x[c]);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
inline __m256i first_lanes(int count) {
  static const std::int32_t marks[2 * kRegister] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(marks + kRegister - count));
}
#endif

// The first `count` lanes, fewer than all; the others are read as zeros.
template <class T>
inline Register get(const T* from, int count) {
#ifdef __AVX512F__
  const Vector found = read(from, count);
  return reinterpret_cast<const Register&>(found);
#else
#ifdef __AVX2__
  if constexpr (std::is_same_v<T, float>) {
    const __m256 found = _mm256_maskload_ps(from, first_lanes(count));
    return reinterpret_cast<const Register&>(found);
  }
#endif
  Register value = {};
  for (int c = 0; c < count; ++c) value[c] = load(from[c]);
  return value;
#endif
}

template <class T>
inline void put(T* to, const Register& x, int count) {
#ifdef __AVX512F__
  write(to, reinterpret_cast<const Vector&>(x), count);
#else
#ifdef __AVX2__
  if constexpr (std::is_same_v<T, float>)
    return _mm256_maskstore_ps(to, first_lanes(count), reinterpret_cast<const __m256&>(x));
#endif
  for (int c = 0; c < count; ++c) store(to + c, x[c]);
#endif
}

// x between two numbers; what is no number stays none.
inline Register bounded(const Register& x, float least, float most) {
#if defined(__AVX512F__)
  const Vector bound = between(reinterpret_cast<const Vector&>(x), least, most);
  return reinterpret_cast<const Register&>(bound);
#elif defined(__AVX2__)
  const auto risen = _mm256_max_ps(_mm256_set1_ps(least), reinterpret_cast<const __m256&>(x));
  const auto bound = _mm256_min_ps(_mm256_set1_ps(most), risen);
  return reinterpret_cast<const Register&>(bound);
#else
  const Register risen = x < least ? each(least) : x;
  return risen > most ? each(most) : risen;
#endif
}

// exp to about 1e-7 relative: x = n ln 2 + r, and a polynomial of degree 6 in r; 2^-126 and 2^127 at its ends.
inline Register exp_of(const Register& x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: added, the whole part stands in the lowest bits
  const Register near = bounded(x, -87.3f, 88.0f), shifted = near * 1.44269504088896341f + kShift, n = shifted - kShift;
  const Register r = (near - n * 0.693359375f) + n * 2.12194440e-4f;
  Register p = each(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  RegisterWords bits, whole;
  std::memcpy(&bits, &p, sizeof bits);
  std::memcpy(&whole, &shifted, sizeof whole);
  bits += whole << 23;
  std::memcpy(&p, &bits, sizeof bits);
  return p;
}

// The logistic function, as exactly as a map of T can hold it.
template <class T>
inline Register sigmoid(const Register& z) {
  if constexpr (std::is_same_v<T, Bf16> && kRegister == kLanes) {
    const Vector s = sigmoid(reinterpret_cast<const Vector&>(z));
    return reinterpret_cast<const Register&>(s);
  }
  return 1.0f / (1.0f + exp_of(-z));
}

}  // namespace
