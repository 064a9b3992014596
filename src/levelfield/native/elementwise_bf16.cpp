// Norms, activations and sums of bfloat16 maps laid out (..., C), each in one pass over memory or two, 16 numbers at a time.
//
// Arithmetic is in float; what belongs to channels is float. Every sum over rows is cut by image and channel block or into
// a number of parts that depends on the shape alone, so that results do not depend on the number of threads.

#include <vector>

#include "lanes.h"

namespace {

constexpr int kBlock = 256;  // channels that one task of a BatchNorm handles
constexpr int kBlockVectors = kBlock / kLanes;
constexpr int kMostParts = 64;

enum Activation { kIdentity = 0, kSiLU = 1, kReLU = 2 };

// Runs work(b, first channel, count) for every image and block of channels.
template <class Work>
void by_image_and_block(int B, int C, int threads, const Work& work) {
  const int blocks = (C + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int block = 0; block < blocks; ++block) work(b, block * kBlock, std::min(kBlock, C - block * kBlock));
}

// A block of what belongs to channels, in vectors; zeros beyond its end.
struct OfChannels {
  Vector at[kBlockVectors];

  OfChannels(const float* from, int count, float factor = 1.0f) {
    for (int c = 0, v = 0; c < count; c += kLanes, ++v) at[v] = from ? read(from + c, count - c) * factor : all(0.0f);
  }
};

template <int A>
inline Vector activated(const Vector& z) {
  if constexpr (A == kSiLU) return z * sigmoid(z);
  if constexpr (A == kReLU) return z < 0.0f ? all(0.0f) : z;  // what is no number stays none
  return z;
}

// What the gradient of activated(z) is multiplied with.
template <int A>
inline Vector slope(const Vector& z) {
  if constexpr (A == kSiLU) {
    const Vector s = sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
  }
  if constexpr (A == kReLU) return z > 0.0f ? all(1.0f) : all(0.0f);
  return all(1.0f);
}

// y = act(x * scale + shift) and, where pooled is not null, its mean over the N places: x, y (B, N, C), pooled (B, C).
template <int A>
void affine_forward(const Bf16* x, const float* scale, const float* shift, Bf16* y, float* pooled, int B, int N, int C,
                    int threads) {
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    const OfChannels scales(scale + first, count), shifts(shift + first, count);
    Vector total[kBlockVectors] = {};
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
      for (int c = 0, v = 0; c < count; c += kLanes, ++v) {
        const Vector out = activated<A>(read(x + at + c, count - c) * scales.at[v] + shifts.at[v]);
        write(y + at + c, out, count - c);
        total[v] += out;
      }
    }
    if (pooled)
      for (int c = 0, v = 0; c < count; c += kLanes, ++v)
        write(pooled + static_cast<long>(b) * C + first + c, total[v] / static_cast<float>(N), count - c);
  });
}

// Backward of y = act(norm(x)), pooled = mean(y). With batch statistics (batch != 0) these depend on x too.
template <int A>
void norm_backward(const Bf16* x, const Bf16* dy, const float* dpooled, const float* scale, const float* shift,
                   const float* mean, const float* inverse, Bf16* dx, float* dweight, float* dbias, int batch, int B,
                   int N, int C, int threads) {
  std::vector<float> partial(2L * B * C), means(2L * C);
  float *biases = partial.data(), *weights = biases + static_cast<long>(B) * C;
  const auto pooled_of = [&](int b, int first) { return dpooled ? dpooled + static_cast<long>(b) * C + first : nullptr; };
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    const OfChannels scales(scale + first, count), shifts(shift + first, count), centre(mean + first, count),
        pooled(pooled_of(b, first), count, 1.0f / N);
    Vector bias[kBlockVectors] = {}, weight[kBlockVectors] = {};
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
      for (int c = 0, v = 0; c < count; c += kLanes, ++v) {
        const Vector in = read(x + at + c, count - c), grad = read(dy + at + c, count - c) + pooled.at[v];
        const Vector dz = grad * slope<A>(in * scales.at[v] + shifts.at[v]);
        bias[v] += dz;
        weight[v] += dz * (in - centre.at[v]);
      }
    }
    const long to = static_cast<long>(b) * C + first;
    for (int c = 0, v = 0; c < count; c += kLanes, ++v) {
      write(biases + to + c, bias[v], count - c);
      write(weights + to + c, weight[v] * read(inverse + first + c, count - c), count - c);
    }
  });
  for (int c = 0; c < C; ++c) {
    double bias = 0, weight = 0;
    for (int b = 0; b < B; ++b) bias += biases[static_cast<long>(b) * C + c], weight += weights[static_cast<long>(b) * C + c];
    dbias[c] = static_cast<float>(bias);
    dweight[c] = static_cast<float>(weight);
    means[c] = batch ? static_cast<float>(bias / (static_cast<double>(B) * N)) : 0.0f;
    means[C + c] = batch ? static_cast<float>(weight / (static_cast<double>(B) * N)) * inverse[c] : 0.0f;
  }
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    const OfChannels scales(scale + first, count), shifts(shift + first, count), centre(mean + first, count),
        pooled(pooled_of(b, first), count, 1.0f / N), bias(means.data() + first, count),
        weight(means.data() + C + first, count);
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
      for (int c = 0, v = 0; c < count; c += kLanes, ++v) {
        const Vector in = read(x + at + c, count - c), grad = read(dy + at + c, count - c) + pooled.at[v];
        const Vector dz = grad * slope<A>(in * scales.at[v] + shifts.at[v]);
        write(dx + at + c, scales.at[v] * (dz - bias.at[v] - (in - centre.at[v]) * weight.at[v]), count - c);
      }
    }
  });
}

// Where the part of `rows` begins: parts are a matter of the rows alone.
inline int parts_of(long rows) { return static_cast<int>(std::min<long>(kMostParts, (rows + 63) / 64)); }

// sums (2, C) += parts' sums (parts, 2, C).
void add_parts(const std::vector<float>& partial, int parts, int C, float* first, float* second) {
  for (int c = 0; c < 2 * C; ++c) {
    double sum = 0;
    for (int part = 0; part < parts; ++part) sum += partial[static_cast<long>(part) * 2 * C + c];
    (c < C ? first : second)[c % C] = static_cast<float>(sum);
  }
}

}  // namespace

extern "C" {

#define BY_ACTIVATION(function, ...)                              \
  switch (activation) {                                           \
    case kSiLU: return function<kSiLU>(__VA_ARGS__);              \
    case kReLU: return function<kReLU>(__VA_ARGS__);              \
    default: return function<kIdentity>(__VA_ARGS__);             \
  }

void lf_affine_forward_bf16(const Bf16* x, const float* scale, const float* shift, Bf16* y, float* pooled, int activation,
                            int B, int N, int C, int threads) {
  BY_ACTIVATION(affine_forward, x, scale, shift, y, pooled, B, N, C, threads)
}

void lf_norm_backward_bf16(const Bf16* x, const Bf16* dy, const float* dpooled, const float* scale, const float* shift,
                           const float* mean, const float* inverse, Bf16* dx, float* dweight, float* dbias, int batch,
                           int activation, int B, int N, int C, int threads) {
  BY_ACTIVATION(norm_backward, x, dy, dpooled, scale, shift, mean, inverse, dx, dweight, dbias, batch, B, N, C, threads)
}

// sums (C) = x (rows, C) summed over its rows.
void lf_column_sums_bf16(const Bf16* x, float* sums, int rows, int C, int threads) {
  const int parts = parts_of(rows);
  std::vector<float> partial(2L * parts * C), unused(C);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < parts; ++part) {
    float* sum = partial.data() + 2L * part * C;
    for (long n = static_cast<long>(rows) * part / parts; n < static_cast<long>(rows) * (part + 1) / parts; ++n)
      for (int c = 0; c < C; c += kLanes) write(sum + c, read(sum + c, C - c) + read(x + n * C + c, C - c), C - c);
  }
  add_parts(partial, parts, C, sums, unused.data());
}

// LayerNorm of every row of x (rows, C), and what the backward pass needs: (mean, 1 / deviation) of each row (rows, 2).
void lf_layer_norm_forward_bf16(const Bf16* x, const float* weight, const float* bias, Bf16* y, float* moments,
                                float eps, int rows, int C, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int n = 0; n < rows; ++n) {
    const Bf16* row = x + static_cast<long>(n) * C;
    Vector sum = {}, square = {};
    for (int c = 0; c < C; c += kLanes) sum += read(row + c, C - c);
    const float mean = sum_of(sum) / C;
    for (int c = 0; c < C; c += kLanes) {
      Vector centred = read(row + c, C - c) - mean;
      for (int lane = C - c; lane < kLanes; ++lane) centred[lane] = 0;
      square += centred * centred;
    }
    const float inverse = 1.0f / std::sqrt(sum_of(square) / C + eps);
    for (int c = 0; c < C; c += kLanes) {
      const Vector normed = (read(row + c, C - c) - mean) * inverse;
      write(y + static_cast<long>(n) * C + c, normed * read(weight + c, C - c) + read(bias + c, C - c), C - c);
    }
    moments[2L * n] = mean, moments[2L * n + 1] = inverse;
  }
}

void lf_layer_norm_backward_bf16(const Bf16* x, const Bf16* dy, const float* weight, const float* moments, Bf16* dx,
                                 float* dweight, float* dbias, int rows, int C, int threads) {
  const int parts = parts_of(rows);
  std::vector<float> partial(2L * parts * C);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int part = 0; part < parts; ++part) {
    float *weights = partial.data() + 2L * part * C, *biases = weights + C;
    for (long n = static_cast<long>(rows) * part / parts; n < static_cast<long>(rows) * (part + 1) / parts; ++n) {
      const Bf16 *row = x + n * C, *grad = dy + n * C;
      const float mean = moments[2 * n], inverse = moments[2 * n + 1];
      Vector along = {}, sum = {};
      for (int c = 0; c < C; c += kLanes) {
        const Vector g = read(grad + c, C - c), normed = (read(row + c, C - c) - mean) * inverse;
        const Vector scaled = g * read(weight + c, C - c);
        write(weights + c, read(weights + c, C - c) + g * normed, C - c);
        write(biases + c, read(biases + c, C - c) + g, C - c);
        sum += scaled;
        along += scaled * normed;
      }
      const float level = sum_of(sum) / C, tilt = sum_of(along) / C;
      for (int c = 0; c < C; c += kLanes) {
        const Vector normed = (read(row + c, C - c) - mean) * inverse;
        write(dx + n * C + c, inverse * (read(grad + c, C - c) * read(weight + c, C - c) - level - normed * tilt), C - c);
      }
    }
  }
  add_parts(partial, parts, C, dweight, dbias);
}

}  // extern "C"
