// Bytes of images, planes of (H, W) px, that augmentation moves, looks up, warps and blends.
//
// All sums are of whole numbers, and what is rounded on the way is rounded where the plain torch forms round: the bits
// are theirs. Products and sums of doubles are not joined, so that every processor rounds both.

#include <cstring>
#include <vector>

#include "levels.h"

namespace {

constexpr int kBits = 20;  // positions are whole numbers of 2**-20 px

// Where every pixel comes from along one axis, in 2**-20 px from the image's edge: what its column and what its row add.
struct Terms {
  std::vector<Int> of_column, of_row;

  Terms(int H, int W) : of_column(W), of_row(H) {}

  // Of the map's three numbers for this axis, along which the image is `extent` px long.
  void set(const double* map, int extent) {
    fill(of_column, map[0], map[2] + extent / 2.0);
    fill(of_row, map[1], 0.0);
  }

  static void fill(std::vector<Int>& terms, double slope, double offset) {
    const double middle = (1 - static_cast<double>(terms.size())) / 2;
    for (std::size_t i = 0; i < terms.size(); ++i)
      terms[i] = static_cast<Int>(std::nearbyint((slope * (i + middle) + offset) * (1 << kBits)));
  }
};

// Runs work(image, across, down) for every image with its own map of six numbers.
template <class Work>
void with_maps(const double* maps, int n, int H, int W, int threads, const Work& work) {
#pragma omp parallel num_threads(threads)
  {
    Terms across(H, W), down(H, W);
#pragma omp for schedule(dynamic, 4)
    for (int b = 0; b < n; ++b) {
      across.set(maps + 6L * b, W);
      down.set(maps + 6L * b + 3, H);
      work(b, across, down);
    }
  }
}

void nearest_image(const Byte* in, const Terms& across, const Terms& down, Byte* out, int H, int W, int fill) {
  const long plane = static_cast<long>(H) * W;
  std::vector<Int> source(W);
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
void smooth_image(const Byte* in, const Terms& across, const Terms& down, const Int* kernel, const Byte* fill, Byte* out,
                  int H, int W) {
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

// (n, 3, H, W) warped by `maps` (n, 6). What comes from outside becomes `fill`.
void lf_warp_nearest(const Byte* images, const double* maps, Byte* out, int n, int H, int W, int fill, int threads) {
  const long size = 3L * H * W;
  with_maps(maps, n, H, W, threads, [&](int b, const Terms& across, const Terms& down) {
    nearest_image(images + b * size, across, down, out + b * size, H, W, fill);
  });
}

// The same with interpolation: `cubic` (n) chooses between two kernels, (2, 256) and (4, 256) of 1/1024.
void lf_warp_smooth(const Byte* images, const double* maps, const Byte* is_cubic, const Int* linear_kernel,
                    const Int* cubic_kernel, const Byte* fill, Byte* out, int n, int H, int W, int threads) {
  const long size = 3L * H * W;
  with_maps(maps, n, H, W, threads, [&](int b, const Terms& across, const Terms& down) {
    if (is_cubic[b]) smooth_image<4>(images + b * size, across, down, cubic_kernel, fill, out + b * size, H, W);
    else smooth_image<2>(images + b * size, across, down, linear_kernel, fill, out + b * size, H, W);
  });
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

}  // extern "C"
