// Levels of images, and arithmetic that is the same on every processor: products and sums are not joined into one
// rounding.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

namespace {

using Byte = std::uint8_t;
using Int = std::int32_t;
using Long = std::int64_t;

inline Byte clipped(Int level) { return static_cast<Byte>(std::min(255, std::max(0, level))); }

}  // namespace
