// Bytes of images, planes of (H, W) px, that augmentation moves, looks up, warps and resizes.
//
// All sums are of whole numbers, and what is rounded on the way is rounded where the plain torch forms round: the bits
// are theirs. Products and sums of doubles are not joined, so that every processor rounds both.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

namespace {

using Byte = std::uint8_t;
using Int = std::int32_t;
using Long = std::int64_t;

constexpr int kBits = 20;     // positions are whole numbers of 2**-20 px
constexpr int kOne = 1 << 14;  // a weight of one
constexpr int kRows = 16;      // rows of a part that are narrowed at a time

inline Byte clipped(Int level) { return static_cast<Byte>(std::min(255, std::max(0, level))); }

// Where each pixel of a row comes from, in 2**-20 px, along one axis: what its column says and what its row says.
struct Terms {
  const Int *of_column, *of_row;  // (n, W) and (n, H)

  Terms at(long image, int H, int W) const { return {of_column + image * W, of_row + image * H}; }
};

void nearest_image(const Byte* in, Terms across, Terms down, Byte* out, int H, int W, int fill, Int* source) {
  const long plane = static_cast<long>(H) * W;
  for (int y = 0; y < H; ++y) {
    const Int x_row = across.of_row[y], y_row = down.of_row[y];
    for (int x = 0; x < W; ++x) {
      const Int sx = (across.of_column[x] + x_row) >> kBits, sy = (down.of_column[x] + y_row) >> kBits;
      const bool inside = static_cast<unsigned>(sx) < static_cast<unsigned>(W) &&
                          static_cast<unsigned>(sy) < static_cast<unsigned>(H);
      source[x] = inside ? sy * W + sx : -1;
    }
    for (int c = 0; c < 3; ++c) {
      const Byte* from = in + c * plane;
      Byte* to = out + c * plane + static_cast<long>(y) * W;
      for (int x = 0; x < W; ++x) to[x] = source[x] < 0 ? static_cast<Byte>(fill) : from[source[x]];
    }
  }
}

// As in Pillow: an output pixel whose centre comes from outside is `fill`, others repeat the edge.
template <int Taps>
void smooth_image(const Byte* in, Terms across, Terms down, const Int* kernel, const Byte* fill, Byte* out, int H, int W) {
  const long plane = static_cast<long>(H) * W;
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      const Int edge_x = across.of_column[x] + across.of_row[y], edge_y = down.of_column[x] + down.of_row[y];
      Byte* to = out + static_cast<long>(y) * W + x;
      if (edge_x < 0 || edge_x >= (W << kBits) || edge_y < 0 || edge_y >= (H << kBits)) {
        for (int c = 0; c < 3; ++c) to[c * plane] = fill[c];
        continue;
      }
      const Int half = (1 << (kBits - 1)) - (1 << (kBits - 9));  // from the pixels' centres, in 1/256 px
      const Int near_x = (edge_x - half) >> (kBits - 8), near_y = (edge_y - half) >> (kBits - 8);
      Int columns[Taps];
      for (int k = 0; k < Taps; ++k) columns[k] = std::min(W - 1, std::max(0, (near_x >> 8) - (Taps / 2 - 1) + k));
      const Int *wide = kernel + (near_x & 255), *tall = kernel + (near_y & 255);
      Int total[3] = {0, 0, 0};
      for (int j = 0; j < Taps; ++j) {
        const long row = std::min(H - 1, std::max(0, (near_y >> 8) - (Taps / 2 - 1) + j)) * static_cast<long>(W);
        for (int c = 0; c < 3; ++c) {
          Int sum = 0;
          for (int k = 0; k < Taps; ++k) sum += in[c * plane + row + columns[k]] * wide[256 * k];
          total[c] += sum * tall[256 * j];
        }
      }
      for (int c = 0; c < 3; ++c) to[c * plane] = clipped((total[c] + (1 << 19)) >> 20);
    }
}

void copy_row(const Byte* from, Byte* to, int count, bool mirrored) {
  if (mirrored) std::reverse_copy(from, from + count, to);
  else std::memcpy(to, from, count);
}

// Keys' cubic kernel with a = -0.5; the triangle of linear interpolation.
inline double cubic(double d) {
  if (d < 1) return (d * 1.5 - 2.5) * d * d + 1;
  return d < 2 ? ((d * -0.5 + 2.5) * d - 4) * d + 2 : 0.0;
}

// Luma 0.2989 R + 0.587 G + 0.114 B, rounded down: ten thousand times it float holds exactly.
inline float grey(const Byte* in, long plane, long i) {
  const float sum = 2989.0f * in[i] + 5870.0f * in[plane + i] + 1140.0f * in[2 * plane + i];
  return std::floor(sum / 10000.0f);
}

// Clipped to 0..255, and the fraction cut off.
inline Byte cut(float level) { return static_cast<Byte>(std::min(255.0f, std::max(0.0f, level))); }

void sharpen_plane(const Byte* in, float rest, Byte* out, int H, int W) {
  std::memcpy(out, in, static_cast<std::size_t>(H) * W);  // the outermost pixels stay
  for (int y = 1; y < H - 1; ++y) {
    const Byte *above = in + static_cast<long>(y - 1) * W, *here = above + W, *below = here + W;
    Byte* to = out + static_cast<long>(y) * W;
#pragma omp simd
    for (int x = 1; x < W - 1; ++x) {
      const int sum = above[x - 1] + above[x] + above[x + 1] + here[x - 1] + 5 * here[x] + here[x + 1] + below[x - 1] +
                      below[x] + below[x + 1];
      const float change = std::nearbyint(static_cast<float>(sum) / 13.0f) - static_cast<float>(here[x]);
      to[x] = cut(change * rest + static_cast<float>(here[x]));
    }
  }
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

// Each plane (px) through its own table of 256 levels; `out` may be the images.
void lf_look_up(const Byte* images, const Byte* tables, Byte* out, int planes, int px, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int p = 0; p < planes; ++p) {
    const Byte *from = images + static_cast<long>(p) * px, *table = tables + 256L * p;
    Byte* to = out + static_cast<long>(p) * px;
    for (int i = 0; i < px; ++i) to[i] = table[from[i]];
  }
}

// How often each level occurs in each plane: counts (planes, 256).
void lf_count_levels(const Byte* images, Int* counts, int planes, int px, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int p = 0; p < planes; ++p) {
    const Byte* from = images + static_cast<long>(p) * px;
    Int apart[4][256] = {};  // neighbours are often equal: four counts do not wait for one another
    int i = 0;
    for (; i + 4 <= px; i += 4)
      for (int k = 0; k < 4; ++k) ++apart[k][from[i + k]];
    for (; i < px; ++i) ++apart[0][from[i]];
    for (int v = 0; v < 256; ++v) counts[256L * p + v] = apart[0][v] + apart[1][v] + apart[2][v] + apart[3][v];
  }
}

// The least and the greatest level of each plane: (planes, 2).
void lf_extremes(const Byte* images, Byte* extremes, int planes, int px, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int p = 0; p < planes; ++p) {
    const Byte* from = images + static_cast<long>(p) * px;
    Byte low = 255, high = 0;
    for (int i = 0; i < px; ++i) low = std::min(low, from[i]), high = std::max(high, from[i]);
    extremes[2 * p] = low, extremes[2 * p + 1] = high;
  }
}

// The sum of each image's grey levels, (n).
void lf_sum_grey(const Byte* images, Long* sums, int n, int px, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int b = 0; b < n; ++b) {
    Int sum = 0;
    Long total = 0;
    for (int i = 0; i < px; ++i) {
      sum += static_cast<Int>(grey(images + 3L * b * px, px, i));
      if ((i & 0xffff) == 0xffff) total += sum, sum = 0;
    }
    sums[b] = total + sum;
  }
}

// `factor` (n) of the level and `rest` (n) of the grey level.
void lf_saturate(const Byte* images, const float* factor, const float* rest, Byte* out, int n, int px, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int b = 0; b < n; ++b) {
    const Byte* in = images + 3L * b * px;
    Byte* to = out + 3L * b * px;
    for (long i = 0; i < px; ++i) {
      const float share = grey(in, px, i) * rest[b];
      for (int c = 0; c < 3; ++c) to[c * px + i] = cut(static_cast<float>(in[c * px + i]) * factor[b] + share);
    }
  }
}

// The level and `rest` (n) times what smoothing by (1 1 1, 1 5 1, 1 1 1) / 13 changes; H and W above 2.
void lf_sharpen(const Byte* images, const float* rest, Byte* out, int n, int H, int W, int threads) {
  const long plane = static_cast<long>(H) * W;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int p = 0; p < 3 * n; ++p) sharpen_plane(images + p * plane, rest[p / 3], out + p * plane, H, W);
}

// Boxes (row, top, left, height, width: (5, m)) of values whose steps are `steps` (image, channel, row, column), each
// value one of 65,536 by the next 16 bits of its box, of which there are `pieces`; `per_pixel` 0: three in all.
void lf_erase(float* values, const Long* steps, const Long* boxes, const std::int16_t* drawn, const float* quantiles,
              int m, int pieces, int per_pixel, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int k = 0; k < m; ++k) {
    const std::int16_t* next = drawn + static_cast<long>(k) * pieces;
    float* corner = values + boxes[k] * steps[0] + boxes[m + k] * steps[2] + boxes[2 * m + k] * steps[3];
    for (Long y = 0; y < boxes[3 * m + k]; ++y)
      for (Long x = 0; x < boxes[4 * m + k]; ++x, next += per_pixel ? 3 : 0)
        for (int c = 0; c < 3; ++c) corner[y * steps[2] + x * steps[3] + c * steps[1]] = quantiles[next[c] + (1 << 15)];
  }
}

// (n, 3, H, W) warped: see `Terms`. What comes from outside becomes `fill`.
void lf_warp_nearest(const Byte* images, const Int* x_column, const Int* x_row, const Int* y_column, const Int* y_row,
                     Byte* out, int n, int H, int W, int fill, int threads) {
  const Terms across{x_column, x_row}, down{y_column, y_row};
  const long size = 3L * H * W;
#pragma omp parallel num_threads(threads)
  {
    std::vector<Int> source(W);
#pragma omp for schedule(static)
    for (int b = 0; b < n; ++b)
      nearest_image(images + b * size, across.at(b, H, W), down.at(b, H, W), out + b * size, H, W, fill, source.data());
  }
}

// The same with interpolation: `cubic` (n) chooses between two kernels, (2, 256) and (4, 256) of 1/1024.
void lf_warp_smooth(const Byte* images, const Int* x_column, const Int* x_row, const Int* y_column, const Int* y_row,
                    const Byte* is_cubic, const Int* linear_kernel, const Int* cubic_kernel, const Byte* fill, Byte* out,
                    int n, int H, int W, int threads) {
  const Terms across{x_column, x_row}, down{y_column, y_row};
  const long size = 3L * H * W;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int b = 0; b < n; ++b) {
    const Terms x = across.at(b, H, W), y = down.at(b, H, W);
    if (is_cubic[b]) smooth_image<4>(images + b * size, x, y, cubic_kernel, fill, out + b * size, H, W);
    else smooth_image<2>(images + b * size, x, y, linear_kernel, fill, out + b * size, H, W);
  }
}

// Windows (size, size) out of (n, 3, H, W), from (top, left), which may lie outside, on, mirrored where `flip`;
// outside is black.
void lf_take_windows(const Byte* images, const Long* top, const Long* left, const Byte* flip, Byte* out, int n, int H,
                     int W, int height, int width, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int b = 0; b < n; ++b) {
    const Long from = std::min<Long>(std::max<Long>(left[b], 0), W);
    const Long to = std::max(from, std::min<Long>(left[b] + width, W));
    const int count = static_cast<int>(to - from), blank = count ? static_cast<int>(from - left[b]) : width;
    const int rest = width - blank - count;
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < height; ++y) {
        Byte* row = out + ((static_cast<long>(b) * 3 + c) * height + y) * width;
        const Long source = top[b] + y;
        if (source < 0 || source >= H || count == 0) {
          std::memset(row, 0, width);
          continue;
        }
        const int begin = flip[b] ? rest : blank;
        std::memset(row, 0, begin);
        copy_row(images + ((static_cast<long>(b) * 3 + c) * H + source) * W + from, row + begin, count, flip[b]);
        std::memset(row + begin + count, 0, width - begin - count);
      }
  }
}

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
