// Inner loops of the built-in networks, OutGridViT's above all, on float32 and bfloat16 maps laid out (B, H, W, C), for CPUs.
// Compiled at set-up, called through a C interface.
//
// T is what a map is stored in: float or Bf16. Arithmetic is in float always: a Bf16 is widened as it is read, and a result
// rounded once as it is written. What belongs to channels (statistics, scales, their gradients) is float.
//
// Every sum over pixels is cut by image and channel block, never by thread, so that results do not depend on the number of
// threads. Softmax and SiLU are recomputed in the backward pass instead of stored.

#include <type_traits>
#include <vector>

#include "lanes.h"

namespace {

constexpr int kTaps = 9;
constexpr int kMaxTokens = 64;
constexpr int kMaxHeads = 64;
constexpr int kChannels = 256;  // channels that one task of the gates handles: rows long enough to be read ahead

// exp to about 1e-7 relative: x = n ln 2 + r, and a polynomial of degree 6 in r. Compilers vectorise it.
inline float exp_fast(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float n = __builtin_rintf(x * 1.44269504088896341f);
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int bits = (static_cast<int>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// Softmax over the nine offsets of each head: logits (9h) to weights (9h).
template <class T>
inline void nine_softmax(const T* logits, float* weights, int heads) {
  for (int h = 0; h < heads; ++h) {
    const T* a = logits + h * kTaps;
    float top = load(a[0]);
    for (int k = 1; k < kTaps; ++k) top = std::max(top, load(a[k]));
    for (int k = 0; k < kTaps; ++k) weights[h * kTaps + k] = load(a[k]) - top;
  }
#pragma omp simd
  for (int i = 0; i < heads * kTaps; ++i) weights[i] = exp_fast(weights[i]);
  for (int h = 0; h < heads; ++h) {
    float* w = weights + h * kTaps;
    float sum = 0;
    for (int k = 0; k < kTaps; ++k) sum += w[k];
    const float inverse = 1.0f / sum;
    for (int k = 0; k < kTaps; ++k) w[k] *= inverse;
  }
}

// D is the head width where it is known at compile time, 0 where it is not.
template <int D, class T>
void outlook_forward(const T* logits, const T* values, T* out, int B, int H, int W, int heads, int width, int threads) {
  const int d = D ? D : width, C = heads * d;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int y = 0; y < H; ++y) {
      float weights[kTaps * kMaxHeads], local[D ? D : 1];
      std::vector<float> longer(D ? 0 : d);
      float* sum = D ? local : longer.data();
      for (int x = 0; x < W; ++x) {
        const long p = (static_cast<long>(b) * H + y) * W + x;
        nine_softmax(logits + p * kTaps * heads, weights, heads);
        for (int h = 0; h < heads; ++h) {
          for (int j = 0; j < d; ++j) sum[j] = 0;
          for (int k = 0; k < kTaps; ++k) {
            const int dy = k / 3 - 1, dx = k % 3 - 1;
            if (y + dy < 0 || y + dy >= H || x + dx < 0 || x + dx >= W) continue;
            const float w = weights[h * kTaps + k];
            const T* v = values + (p + dy * W + dx) * C + h * d;
#pragma omp simd
            for (int j = 0; j < d; ++j) sum[j] += w * load(v[j]);
          }
          T* o = out + p * C + h * d;
#pragma omp simd
          for (int j = 0; j < d; ++j) store(o + j, sum[j]);
        }
      }
    }
}

// Where sums over several passes are kept until they are whole: in the result itself if that is float, else beside it.
template <class T>
class Sums {
 public:
  Sums(T* result, long size) : result_(result), size_(size), beside_(kInPlace ? 0 : size) {
    if constexpr (kInPlace) std::memset(result, 0, sizeof(T) * size);
  }
  float* data() {
    if constexpr (kInPlace) return result_;
    else return beside_.data();
  }
  void finish() {
    if constexpr (!kInPlace) {
#pragma omp simd
      for (long i = 0; i < size_; ++i) store(result_ + i, beside_[i]);
    }
  }

 private:
  static constexpr bool kInPlace = std::is_same_v<T, float>;
  T* result_;
  long size_;
  std::vector<float> beside_;
};

template <int D, class T>
void outlook_backward(const T* logits, const T* values, const T* grad, T* dlogits, T* dvalues, int B, int H, int W,
                      int heads, int width, int threads) {
  const int d = D ? D : width, C = heads * d;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b) {
    float weights[kTaps * kMaxHeads];
    const long first = static_cast<long>(b) * H * W;
    Sums<T> sums(dvalues + first * C, static_cast<long>(H) * W * C);
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        const long p = first + y * W + x;
        nine_softmax(logits + p * kTaps * heads, weights, heads);
        for (int h = 0; h < heads; ++h) {
          const T* g = grad + p * C + h * d;
          const float* w = weights + h * kTaps;
          float dw[kTaps], mean = 0;
          for (int k = 0; k < kTaps; ++k) {
            const int dy = k / 3 - 1, dx = k % 3 - 1;
            dw[k] = 0;
            if (y + dy < 0 || y + dy >= H || x + dx < 0 || x + dx >= W) continue;
            const long at = (p + dy * W + dx) * C + h * d;
            const T* v = values + at;
            float* dv = sums.data() + at - first * C;
            float dot = 0;
#pragma omp simd reduction(+ : dot)
            for (int j = 0; j < d; ++j) {
              dot += load(g[j]) * load(v[j]);
              dv[j] += w[k] * load(g[j]);
            }
            dw[k] = dot;
            mean += w[k] * dot;
          }
          T* da = dlogits + (p * heads + h) * kTaps;
          for (int k = 0; k < kTaps; ++k) store(da + k, w[k] * (dw[k] - mean));
        }
      }
    sums.finish();
  }
}

// The pixels of one group of grid attention: those whose row mod g and column mod g are (row, column), row-major.
inline int group_pixels(long* pixels, int b, int H, int W, int grid, int row, int column) {
  int n = 0;
  for (int y = row; y < H; y += grid)
    for (int x = column; x < W; x += grid) pixels[n++] = (static_cast<long>(b) * H + y) * W + x;
  return n;
}

// d numbers of every pixel, one pixel after the other, and back.
template <class T>
inline void gather(const T* from, const long* pixels, int tokens, long stride, int d, float* to) {
  for (int j = 0; j < tokens; ++j) {
    const T* row = from + pixels[j] * stride;
#pragma omp simd
    for (int c = 0; c < d; ++c) to[j * d + c] = load(row[c]);
  }
}

template <class T>
inline void scatter(const float* from, const long* pixels, int tokens, long stride, int d, T* to) {
  for (int j = 0; j < tokens; ++j) {
    T* row = to + pixels[j] * stride;
#pragma omp simd
    for (int c = 0; c < d; ++c) store(row + c, from[j * d + c]);
  }
}

// Attention weights of query q (d) to keys (tokens, d).
template <int D>
inline void attend(const float* q, const float* keys, int tokens, int width, float scale, float* weights) {
  const int d = D ? D : width;
  float top = -INFINITY;
  for (int j = 0; j < tokens; ++j) {
    const float* k = keys + j * d;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int c = 0; c < d; ++c) dot += q[c] * k[c];
    weights[j] = dot * scale;
    top = std::max(top, weights[j]);
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int j = 0; j < tokens; ++j) {
    weights[j] = exp_fast(weights[j] - top);
    sum += weights[j];
  }
  const float inverse = 1.0f / sum;
  for (int j = 0; j < tokens; ++j) weights[j] *= inverse;
}

// Each group and head is computed on copies in float that lie together.
template <int D, class T>
void grid_forward(const T* qkv, T* out, int B, int H, int W, int heads, int width, int grid, int threads) {
  const int d = D ? D : width, C = heads * d;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int row = 0; row < grid; ++row) {
      const int most = kMaxTokens * d;
      std::vector<float> copies(4L * most);
      float *q = copies.data(), *k = q + most, *v = k + most, *o = v + most;
      for (int column = 0; column < grid; ++column) {
        long pixels[kMaxTokens];
        float weights[kMaxTokens];
        const int tokens = group_pixels(pixels, b, H, W, grid, row, column);
        for (int h = 0; h < heads; ++h) {
          const T* first = qkv + h * d;
          gather(first, pixels, tokens, 3L * C, d, q);
          gather(first + C, pixels, tokens, 3L * C, d, k);
          gather(first + 2 * C, pixels, tokens, 3L * C, d, v);
          for (int i = 0; i < tokens; ++i) {
            attend<D>(q + i * d, k, tokens, d, scale, weights);
            float* sum = o + i * d;
            for (int c = 0; c < d; ++c) sum[c] = 0;
            for (int j = 0; j < tokens; ++j) {
#pragma omp simd
              for (int c = 0; c < d; ++c) sum[c] += weights[j] * v[j * d + c];
            }
          }
          scatter(o, pixels, tokens, C, d, out + h * d);
        }
      }
    }
}

template <int D, class T>
void grid_backward(const T* qkv, const T* grad, T* dqkv, int B, int H, int W, int heads, int width, int grid,
                   int threads) {
  const int d = D ? D : width, C = heads * d;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int row = 0; row < grid; ++row) {
      const int most = kMaxTokens * d;
      std::vector<float> copies(7L * most);
      float *q = copies.data(), *k = q + most, *v = k + most, *g = v + most, *dq = g + most, *dk = dq + most,
            *dv = dk + most;
      for (int column = 0; column < grid; ++column) {
        long pixels[kMaxTokens];
        float p[kMaxTokens], dp[kMaxTokens];
        const int tokens = group_pixels(pixels, b, H, W, grid, row, column);
        for (int h = 0; h < heads; ++h) {
          const T* first = qkv + h * d;
          gather(first, pixels, tokens, 3L * C, d, q);
          gather(first + C, pixels, tokens, 3L * C, d, k);
          gather(first + 2 * C, pixels, tokens, 3L * C, d, v);
          gather(grad + h * d, pixels, tokens, C, d, g);
          std::fill(dq, dq + 3 * most, 0.0f);
          for (int i = 0; i < tokens; ++i) {
            attend<D>(q + i * d, k, tokens, d, scale, p);
            float mean = 0;
            for (int j = 0; j < tokens; ++j) {
              float dot = 0;
#pragma omp simd reduction(+ : dot)
              for (int c = 0; c < d; ++c) {
                dot += g[i * d + c] * v[j * d + c];
                dv[j * d + c] += p[j] * g[i * d + c];
              }
              dp[j] = dot;
              mean += p[j] * dot;
            }
            for (int j = 0; j < tokens; ++j) {
              const float ds = p[j] * (dp[j] - mean) * scale;
#pragma omp simd
              for (int c = 0; c < d; ++c) {
                dq[i * d + c] += ds * k[j * d + c];
                dk[j * d + c] += ds * q[i * d + c];
              }
            }
          }
          T* out = dqkv + h * d;
          scatter(dq, pixels, tokens, 3L * C, d, out);
          scatter(dk, pixels, tokens, 3L * C, d, out + C);
          scatter(dv, pixels, tokens, 3L * C, d, out + 2 * C);
        }
      }
    }
}

// Runs work(b, first channel, count) for every image and block of channels. Of narrow maps the count is a constant: the
// compiler then leaves no channels for a loop one by one, which for 24 of them took twice as long as all the rest.
template <class Work>
void by_image_and_channels(int B, int C, int threads, const Work& work) {
  const int blocks = (C + kChannels - 1) / kChannels;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int block = 0; block < blocks; ++block) {
      const int first = block * kChannels, count = std::min(kChannels, C - first);
      if (count == 24)
        work(b, first, std::integral_constant<int, 24>());
      else if (count == 64)
        work(b, first, std::integral_constant<int, 64>());
      else
        work(b, first, count);
    }
}

constexpr int kOutputs = 48;   // output channels that one task of the weight gradient handles
constexpr int kBlockRows = 256;  // rows that stay in the second-level cache
constexpr int kChunks = 4;     // parts of the rows, summed apart, whatever the number of threads

// out (R, 16 V) += grad (rows, R)^T x (rows, 16 V), accumulated in registers.
template <int R, int V>
inline void rank_update(const float* grad, long grad_stride, const float* x, long x_stride, float* out, long out_stride,
                        int rows) {
  Vector sum[R][V] = {};
  for (int n = 0; n < rows; ++n) {
    Vector row[V];
    for (int v = 0; v < V; ++v) row[v] = *reinterpret_cast<const Vector*>(x + n * x_stride + v * kLanes);
    for (int r = 0; r < R; ++r) {
      const float g = grad[n * grad_stride + r];
      for (int v = 0; v < V; ++v) sum[r][v] += g * row[v];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) *reinterpret_cast<Vector*>(out + r * out_stride + v * kLanes) += sum[r][v];
}

template <int V>
inline void rank_updates(int outputs, const float* grad, long grad_stride, const float* x, long x_stride, float* out,
                         long out_stride, int rows) {
  int r = 0;
  for (; r + 6 <= outputs; r += 6)
    rank_update<6, V>(grad + r, grad_stride, x, x_stride, out + r * out_stride, out_stride, rows);
  for (; r < outputs; ++r)
    rank_update<1, V>(grad + r, grad_stride, x, x_stride, out + r * out_stride, out_stride, rows);
}

// An image's kLine channels in float with a border of zeros, on which a K x K depthwise convolution (stride 1, zeros around
// the map) is computed: no number is converted twice, and none is outside.
constexpr int kVectors = 2, kLine = kVectors * kLanes;  // bf16: a cache line of channels

template <int K, class T>
class Bordered {
 public:
  Bordered(int H, int W) : H_(H), W_(W), wide_(W + K - 1), numbers_((H + K - 1L) * wide_ * kLine) {}

  // The image's channels first to first + count - 1; the border, never written, stays zero, as do channels beyond.
  void copy(const T* image, int C, int first, int count) {
    for (int y = 0; y < H_; ++y)
      for (int x = 0; x < W_; ++x) {
        const T* from = image + (static_cast<long>(y) * W_ + x) * C + first;
        float* to = numbers_.data() + ((y + K / 2) * wide_ + x + K / 2) * kLine;
        if (count == kLine) {
#pragma omp simd
          for (int c = 0; c < kLine; ++c) to[c] = load(from[c]);
        } else {
          for (int c = 0; c < kLine; ++c) to[c] = c < count ? load(from[c]) : 0.0f;
        }
      }
  }

  // image = the sum over the taps (K * K) of taps * this, shifted.
  void convolve(const Vector (*taps)[kVectors], T* image, int C, int first, int count) const {
    for (int y = 0; y < H_; ++y) {
      T* to = image + static_cast<long>(y) * W_ * C + first;
      int x = 0;
      for (; x + 4 <= W_; x += 4) pixels<4>(taps, y, x, to + static_cast<long>(x) * C, C, count);
      for (; x < W_; ++x) pixels<1>(taps, y, x, to + static_cast<long>(x) * C, C, count);
    }
  }

  // sums (K * K) += products of grad's pixels with the pixels of this that each tap had seen; total += grad's pixels.
  void correlate(const Bordered& grad, Vector (*sums)[kVectors], Vector* total) const {
    constexpr int rows = K == 3 ? 3 : K == 5 ? 2 : 1;  // as many sums as there are registers for
    for (int lane = 0; lane < kLine; lane += kRegister)
      for (int first = 0; first < K; first += rows) {
        if (first + rows <= K)
          correlate_rows<rows>(grad, first, lane, sums, total);
        else
          correlate_rows<1>(grad, first, lane, sums, total);
      }
  }

 private:
  // Pixel (y, x) counted from the border's corner.
  Vector at(long y, long x, int v) const {
    return *reinterpret_cast<const Vector*>(&numbers_[(y * wide_ + x) * kLine + v * kLanes]);
  }

  Register part(long y, long x, int lane) const {
    return *reinterpret_cast<const Register*>(&numbers_[(y * wide_ + x) * kLine + lane]);
  }

  // `correlate` for taps of R rows from the first, and the channels of one register.
  template <int R>
  void correlate_rows(const Bordered& grad, int first, int lane, Vector (*sums)[kVectors], Vector* total) const {
    Register sum[R][K] = {}, all = {};
    for (int y = 0; y < H_; ++y) {
      int x = 0;
      for (; x + 4 <= W_; x += 4) correlate_pixels<R, 4>(grad, y, x, first, lane, sum, all);
      for (; x + 2 <= W_; x += 2) correlate_pixels<R, 2>(grad, y, x, first, lane, sum, all);
      for (; x < W_; ++x) correlate_pixels<R, 1>(grad, y, x, first, lane, sum, all);
    }
    for (int row = 0; row < R; ++row)
      for (int column = 0; column < K; ++column)
        reinterpret_cast<Register*>(sums[(first + row) * K + column])[lane / kRegister] += sum[row][column];
    if (first == 0) reinterpret_cast<Register*>(total)[lane / kRegister] += all;
  }

  // N of grad's pixels side by side: the pixels that their taps had seen overlap, and are read once.
  template <int R, int N>
  void correlate_pixels(const Bordered& grad, int y, int x, int first, int lane, Register (&sum)[R][K],
                        Register& all) const {
    Register g[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      g[n] = grad.part(y + K / 2, x + n + K / 2, lane);
      all += g[n];
    }
#pragma GCC unroll 3
    for (int row = 0; row < R; ++row)
#pragma GCC unroll 10
      for (int column = 0; column < K + N - 1; ++column) {
        const Register seen = part(y + first + row, x + column, lane);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n)
          if (column >= n && column - n < K) sum[row][column - n] += g[n] * seen;
      }
  }

  template <int N>
  void pixels(const Vector (*taps)[kVectors], int y, int x, T* to, int C, int count) const {
    float out[N][kLine];
    for (int v = 0; v < kVectors; ++v) {
      Vector sum[N] = {};
      for (int row = 0; row < K; ++row)
        for (int column = 0; column < K; ++column)
          for (int n = 0; n < N; ++n) sum[n] += taps[row * K + column][v] * at(y + row, x + n + column, v);
      for (int n = 0; n < N; ++n) std::memcpy(out[n] + v * kLanes, &sum[n], sizeof(Vector));
    }
    for (int n = 0; n < N; ++n)
      if (count == kLine) {
#pragma omp simd
        for (int c = 0; c < kLine; ++c) store(to + n * C + c, out[n][c]);
      } else {
        for (int c = 0; c < count; ++c) store(to + n * C + c, out[n][c]);
      }
  }

  int H_, W_;
  long wide_;
  std::vector<float> numbers_;
};

// Gradients of a depthwise convolution: x, dy, dx (B, H, W, C) or null, weight and dweight (C, K, K), dbias (C) or null.
// Images are cut into kParts parts, each summed by itself, whatever the number of threads.
constexpr int kParts = 16;

template <int K, class T>
void depthwise_backward(const T* x, const T* dy, const float* weight, T* dx, float* dweight, float* dbias, int B, int H,
                        int W, int C, int threads) {
  constexpr int taps = K * K;
  const int blocks = (C + kLine - 1) / kLine, parts = std::min(B, kParts);
  const long size = static_cast<long>(H) * W * C, sums = (taps + 1L) * kLine;
  std::vector<float> partial(parts * blocks * sums);
#pragma omp parallel num_threads(threads)
  {
    Bordered<K, T> input(H, W), grad(H, W);
#pragma omp for collapse(2) schedule(static)
    for (int part = 0; part < parts; ++part)
      for (int block = 0; block < blocks; ++block) {
        const int first = block * kLine, count = std::min(kLine, C - first);
        float turned[taps][kLine] = {};
        for (int k = 0; k < taps; ++k)
          for (int c = 0; c < count; ++c) turned[k][c] = weight[(first + c + 1L) * taps - 1 - k];
        Vector flipped[taps][kVectors], sum[taps + 1][kVectors] = {};
        std::memcpy(flipped, turned, sizeof turned);
        for (long b = static_cast<long>(B) * part / parts; b < static_cast<long>(B) * (part + 1) / parts; ++b) {
          input.copy(x + b * size, C, first, count);
          grad.copy(dy + b * size, C, first, count);
          if (dx) grad.convolve(flipped, dx + b * size, C, first, count);
          input.correlate(grad, sum, sum[taps]);
        }
        std::memcpy(partial.data() + (static_cast<long>(part) * blocks + block) * sums, sum, sizeof sum);
      }
  }
  for (int c = 0; c < C; ++c)
    for (int k = 0; k < (dbias ? taps + 1 : taps); ++k) {
      double sum = 0;
      for (int part = 0; part < parts; ++part)
        sum += partial[(static_cast<long>(part) * blocks + c / kLine) * sums + k * kLine + c % kLine];
      (k == taps ? dbias[c] : dweight[static_cast<long>(c) * taps + k]) = static_cast<float>(sum);
    }
}

// Backward of y = x * gate, x (B, N, C), gate (B, C).
template <class T>
void gate_backward(const T* x, const T* gate, const T* dy, T* dx, T* dgate, int B, int N, int C, int threads) {
  by_image_and_channels(B, C, threads, [&](int b, int first, auto count) {
    float total[kChannels] = {}, factor[kChannels];
    const long gates = static_cast<long>(b) * C + first;
    for (int c = 0; c < count; ++c) factor[c] = load(gate[gates + c]);
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
#pragma omp simd
      for (int c = 0; c < count; ++c) {
        total[c] += load(dy[at + c]) * load(x[at + c]);
        store(dx + at + c, load(dy[at + c]) * factor[c]);
      }
    }
    for (int c = 0; c < count; ++c) store(dgate + gates + c, total[c]);
  });
}

// 2x2 maxima of x (B, H, W, C), the first of equal ones, and which of the four each is; what a side has over is left out.
template <class T>
void max_pool_forward(const T* x, T* y, std::uint8_t* place, int B, int H, int W, int C, int threads) {
  const int rows = H / 2, columns = W / 2;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column) {
        const T* upper = x + ((static_cast<long>(b) * H + 2 * row) * W + 2 * column) * C;
        const T* lower = upper + static_cast<long>(W) * C;
        const long out = ((static_cast<long>(b) * rows + row) * columns + column) * C;
#pragma omp simd
        for (int c = 0; c < C; ++c) {
          float best = load(upper[c]);
          int at = 0;
          const float others[3] = {load(upper[C + c]), load(lower[c]), load(lower[C + c])};
          for (int i = 0; i < 3; ++i) {
            const bool more = (others[i] > best) | (others[i] != others[i]);
            best = more ? others[i] : best;
            at = more ? i + 1 : at;
          }
          store_exact(y + out + c, best);
          place[out + c] = static_cast<std::uint8_t>(at);
        }
      }
}

// dx (B, H, W, C): dy where a maximum was taken, 0 elsewhere.
template <class T>
void max_pool_backward(const T* dy, const std::uint8_t* place, T* dx, int B, int H, int W, int C, int threads) {
  const int rows = H / 2, columns = W / 2;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int row = 0; row < (H + 1) / 2; ++row) {
      T* upper = dx + (static_cast<long>(b) * H + 2 * row) * W * C;
      if (row == rows || W % 2) std::memset(upper, 0, sizeof(T) * W * C * std::min(2, H - 2 * row));
      if (row == rows) continue;
      T* lower = upper + static_cast<long>(W) * C;
      for (int column = 0; column < columns; ++column, upper += 2 * C, lower += 2 * C) {
        const long in = ((static_cast<long>(b) * rows + row) * columns + column) * C;
#pragma omp simd
        for (int c = 0; c < C; ++c) {
          const float grad = load(dy[in + c]);
          const int at = place[in + c];
          store_exact(upper + c, at == 0 ? grad : 0.0f);
          store_exact(upper + C + c, at == 1 ? grad : 0.0f);
          store_exact(lower + c, at == 2 ? grad : 0.0f);
          store_exact(lower + C + c, at == 3 ? grad : 0.0f);
        }
      }
    }
}

}  // namespace

#define BY_WIDTH(function, ...)                   \
  switch (width) {                                \
    case 24: return function<24>(__VA_ARGS__);    \
    case 32: return function<32>(__VA_ARGS__);    \
    case 40: return function<40>(__VA_ARGS__);    \
    case 48: return function<48>(__VA_ARGS__);    \
    case 56: return function<56>(__VA_ARGS__);    \
    case 64: return function<64>(__VA_ARGS__);    \
    default: return function<0>(__VA_ARGS__);     \
  }

extern "C" {

// The functions above under a name for each type of map, "" or "_bf16" at its end.
#define FOR_MAPS_OF(T, end)                                                                                            \
  void lf_outlook_forward##end(const T* logits, const T* values, T* out, int B, int H, int W, int heads, int width,     \
                               int threads) {                                                                          \
    BY_WIDTH(outlook_forward, logits, values, out, B, H, W, heads, width, threads)                                     \
  }                                                                                                                    \
  void lf_outlook_backward##end(const T* logits, const T* values, const T* grad, T* dlogits, T* dvalues, int B, int H,  \
                                int W, int heads, int width, int threads) {                                            \
    BY_WIDTH(outlook_backward, logits, values, grad, dlogits, dvalues, B, H, W, heads, width, threads)                 \
  }                                                                                                                    \
  void lf_gate_backward##end(const T* x, const T* gate, const T* dy, T* dx, T* dgate, int B, int N, int C,              \
                             int threads) {                                                                            \
    gate_backward(x, gate, dy, dx, dgate, B, N, C, threads);                                                           \
  }                                                                                                                    \
  void lf_max_pool_forward##end(const T* x, T* y, std::uint8_t* place, int B, int H, int W, int C, int threads) {       \
    max_pool_forward(x, y, place, B, H, W, C, threads);                                                                \
  }                                                                                                                    \
  void lf_max_pool_backward##end(const T* dy, const std::uint8_t* place, T* dx, int B, int H, int W, int C,             \
                                 int threads) {                                                                        \
    max_pool_backward(dy, place, dx, B, H, W, C, threads);                                                             \
  }                                                                                                                    \
  void lf_depthwise_backward##end(const T* x, const T* dy, const float* weight, T* dx, float* dweight, float* dbias,    \
                                  int B, int H, int W, int C, int kernel, int threads) {                               \
    switch (kernel) {                                                                                                  \
      case 3: return depthwise_backward<3>(x, dy, weight, dx, dweight, dbias, B, H, W, C, threads);                    \
      case 5: return depthwise_backward<5>(x, dy, weight, dx, dweight, dbias, B, H, W, C, threads);                    \
      case 7: return depthwise_backward<7>(x, dy, weight, dx, dweight, dbias, B, H, W, C, threads);                    \
    }                                                                                                                  \
  }

FOR_MAPS_OF(float, )
FOR_MAPS_OF(Bf16, _bf16)

// Of float maps alone; those of Bf16 have forms of their own.
void lf_grid_forward(const float* qkv, float* out, int B, int H, int W, int heads, int width, int grid, int threads) {
  BY_WIDTH(grid_forward, qkv, out, B, H, W, heads, width, grid, threads)
}
void lf_grid_backward(const float* qkv, const float* grad, float* dqkv, int B, int H, int W, int heads, int width, int grid,
                           int threads) {
  BY_WIDTH(grid_backward, qkv, grad, dqkv, B, H, W, heads, width, grid, threads)
}

// Gradients of y = x W^T + b: x (P, I), dy (P, O) to dweight (O, I) and, where not null, dbias (O). I is a multiple of 16.
void lf_weight_gradient(const float* x, const float* dy, float* dweight, float* dbias, int P, int I, int O, int threads) {
  const int chunks = P >= 4 * kBlockRows * kChunks ? kChunks : 1, blocks = (O + kOutputs - 1) / kOutputs;
  const long size = static_cast<long>(O) * I;
  std::vector<float> partial(chunks > 1 ? chunks * size : 0);
  std::vector<double> bias(static_cast<long>(chunks) * O);
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int chunk = 0; chunk < chunks; ++chunk)
    for (int block = 0; block < blocks; ++block) {
      const int first = block * kOutputs, outputs = std::min(kOutputs, O - first);
      const long begin = static_cast<long>(P) * chunk / chunks, end = static_cast<long>(P) * (chunk + 1) / chunks;
      float* out = (chunks > 1 ? partial.data() + chunk * size : dweight) + static_cast<long>(first) * I;
      std::memset(out, 0, sizeof(float) * outputs * I);
      for (long start = begin; start < end; start += kBlockRows) {
        const int rows = static_cast<int>(std::min<long>(kBlockRows, end - start));
        const float* grad = dy + start * O + first;
        const float* input = x + start * I;
        int i = 0;
        for (; i + 4 * kLanes <= I; i += 4 * kLanes) rank_updates<4>(outputs, grad, O, input + i, I, out + i, I, rows);
        if (I - i == 3 * kLanes) rank_updates<3>(outputs, grad, O, input + i, I, out + i, I, rows);
        if (I - i == 2 * kLanes) rank_updates<2>(outputs, grad, O, input + i, I, out + i, I, rows);
        if (I - i == kLanes) rank_updates<1>(outputs, grad, O, input + i, I, out + i, I, rows);
        if (dbias) {
          float sum[kOutputs] = {};
          for (int n = 0; n < rows; ++n) {
#pragma omp simd
            for (int c = 0; c < outputs; ++c) sum[c] += grad[static_cast<long>(n) * O + c];
          }
          for (int c = 0; c < outputs; ++c) bias[static_cast<long>(chunk) * O + first + c] += sum[c];
        }
      }
    }
  if (chunks > 1) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long i = 0; i < size; ++i) {
      float sum = partial[i];
      for (int chunk = 1; chunk < chunks; ++chunk) sum += partial[chunk * size + i];
      dweight[i] = sum;
    }
  }
  if (dbias)
    for (int c = 0; c < O; ++c) {
      double sum = 0;
      for (int chunk = 0; chunk < chunks; ++chunk) sum += bias[static_cast<long>(chunk) * O + c];
      dbias[c] = static_cast<float>(sum);
    }
}

// Whether the weight gradient's registers are the processor's: elsewhere it would be slower than the matrix library.
int lf_has_wide_vectors() {
#ifdef __AVX512F__
  return 1;
#else
  return 0;
#endif
}

}  // extern "C"
