// Parts of images, planes of (H, W) px, resized as Pillow does it, in whole numbers: the bits of the plain torch form.

#include <vector>

#include "levels.h"

namespace {

constexpr int kOne = 1 << 14;  // a weight of one
constexpr int kRows = 16;      // rows of a part that are narrowed at a time

// Keys' cubic kernel with a = -0.5; the triangle of linear interpolation.
inline double cubic(double d) {
  if (d < 1) return (d * 1.5 - 2.5) * d * d + 1;
  return d < 2 ? ((d * -0.5 + 2.5) * d - 4) * d + 2 : 0.0;
}

inline double triangle(double d) { return std::max(0.0, 1 - d); }

// The shares of a line's px in each of `size` px: from `first` on, `count` of them, `most` apart in `weight`.
struct Shares {
  int most;
  std::vector<int> first, count;
  std::vector<float> weight;

  Shares(int extent, int size, bool bicubic, bool mirrored) : first(size), count(size) {
    const double scale = static_cast<double>(extent) / size, stretch = std::max(1.0, scale);
    const double support = stretch * (bicubic ? 2.0 : 1.0);
    most = static_cast<int>(std::ceil(2 * support)) + 1;
    weight.resize(static_cast<std::size_t>(size) * most);
    std::vector<double> raw(most);
    for (int i = 0; i < size; ++i) {
      const double centre = ((mirrored ? size - 1 - i : i) + 0.5) * scale;
      const double begin = std::max(0.0, std::floor(centre - support + 0.5));
      const double end = std::min(std::floor(centre + support + 0.5), static_cast<double>(extent));
      const int taps = static_cast<int>(end - begin);
      double sum = 0;
      for (int k = 0; k < taps; ++k) {
        const double distance = std::abs((begin + k - centre + 0.5) / stretch);
        raw[k] = std::nearbyint((bicubic ? cubic(distance) : triangle(distance)) * (1 << 20));
        sum += raw[k];
      }
      float* to = &weight[static_cast<std::size_t>(i) * most];
      int left = kOne;
      for (int k = 0; k < taps; ++k) {
        to[k] = static_cast<float>(std::nearbyint(raw[k] * (kOne / sum)));
        left -= static_cast<int>(to[k]);
      }
      to[static_cast<int>(std::floor(centre) - begin)] += static_cast<float>(left);  // to the nearest pixel
      first[i] = static_cast<int>(begin);
      count[i] = taps;
    }
  }
};

// Weighted sums as whole levels, halves upwards as in Pillow: below 2**24 float holds them exactly.
inline Byte level(float sum) {
  return clipped((static_cast<Int>(sum) + kOne / 2) >> 14);
}

// One plane's part (height, width), its rows `stride` apart, to (size, size). `columns` holds width x kRows floats,
// `narrow` height x size bytes.
void resize_plane(const Byte* in, long stride, int height, int width, const Shares& along_x, const Shares& along_y,
                  Byte* out, int size, float* columns, Byte* narrow) {
  for (int y = 0; y < height; y += kRows) {
    const int rows = std::min(kRows, height - y);
    for (int r = 0; r < rows; ++r)
      for (int x = 0; x < width; ++x) columns[x * kRows + r] = in[(y + r) * stride + x];
    for (int i = 0; i < size; ++i) {
      const float *from = columns + along_x.first[i] * kRows, *weight = &along_x.weight[static_cast<long>(i) * along_x.most];
      float sum[kRows] = {};
      for (int k = 0; k < along_x.count[i]; ++k)
#pragma omp simd
        for (int r = 0; r < kRows; ++r) sum[r] += weight[k] * from[k * kRows + r];
      Byte levels[kRows];
#pragma omp simd
      for (int r = 0; r < kRows; ++r) levels[r] = level(sum[r]);
      for (int r = 0; r < rows; ++r) narrow[static_cast<long>(y + r) * size + i] = levels[r];
    }
  }
  std::vector<float> sum(size);
  for (int i = 0; i < size; ++i) {
    const Byte* from = narrow + static_cast<long>(along_y.first[i]) * size;
    const float* weight = &along_y.weight[static_cast<long>(i) * along_y.most];
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (int k = 0; k < along_y.count[i]; ++k)
#pragma omp simd
      for (int x = 0; x < size; ++x) sum[x] += weight[k] * static_cast<float>(from[static_cast<long>(k) * size + x]);
    Byte* to = out + static_cast<long>(i) * size;
#pragma omp simd
    for (int x = 0; x < size; ++x) to[x] = level(sum[x]);
  }
}

}  // namespace

extern "C" {

// Parts (top, left, height, width: (n, 4)) of images (3, height[b], width[b]) from start[b] on, resized to
// (n, 3, size, size), mirrored where `flip`.
void lf_resize_parts(const Byte* flat, const Long* start, const Long* heights, const Long* widths, const Long* parts,
                     const Byte* flip, Byte* out, int n, int size, int bicubic, int threads) {
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> columns;
    std::vector<Byte> narrow;
#pragma omp for schedule(dynamic)
    for (int b = 0; b < n; ++b) {
      const Long top = parts[4 * b], left = parts[4 * b + 1];
      const int height = static_cast<int>(parts[4 * b + 2]), width = static_cast<int>(parts[4 * b + 3]);
      const Shares along_x(width, size, bicubic, flip[b]), along_y(height, size, bicubic, false);
      columns.assign(static_cast<std::size_t>(width) * kRows, 0.0f);
      narrow.resize(static_cast<std::size_t>(height) * size);
      for (int c = 0; c < 3; ++c) {
        const Byte* plane = flat + start[b] + c * heights[b] * widths[b] + top * widths[b] + left;
        resize_plane(plane, widths[b], height, width, along_x, along_y,
                     out + (static_cast<long>(b) * 3 + c) * size * size, size, columns.data(), narrow.data());
      }
    }
  }
}

}  // extern "C"
