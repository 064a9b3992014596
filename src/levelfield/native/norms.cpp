// BatchNorm and the activation after it, of float32 and bfloat16 maps laid out (B, N, C), for CPUs.
//
// T is what a map is stored in; arithmetic is in float, and what belongs to channels is float. Maps are read a register of
// the processor at a time. Every sum over places is cut by image and channel block, so that results do not depend on the
// number of threads. The activation is recomputed in the backward pass instead of stored.

#include <type_traits>
#include <vector>

#include "registers.h"

namespace {

constexpr int kBlock = 256;  // channels that one task handles: rows long enough to be read ahead
constexpr int kBlockRegisters = kBlock / kRegister;
constexpr int kRows = 64;    // rows summed in float before they are added in double

enum Activation { kIdentity = 0, kSiLU = 1, kReLU = 2 };

// Runs work(b, first channel, count) for every image and block of channels.
template <class Work>
void by_image_and_block(int B, int C, int threads, const Work& work) {
  const int blocks = (C + kBlock - 1) / kBlock;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(static)
  for (int b = 0; b < B; ++b)
    for (int block = 0; block < blocks; ++block) work(b, block * kBlock, std::min(kBlock, C - block * kBlock));
}

// Runs work(first channel, register's index, Whole() or how many channels are left) for every register of a row.
template <class Work>
inline void by_register(int count, const Work& work) {
  int c = 0, v = 0;
  for (; c + kRegister <= count; c += kRegister, ++v) work(c, v, Whole());
  if (c < count) work(c, v, count - c);
}

// A block of what belongs to channels, in registers; zeros beyond its end.
struct OfChannels {
  Register at[kBlockRegisters];

  OfChannels(const float* from, int count, float factor = 1.0f) {
    by_register(count, [&](int c, int v, auto left) { at[v] = from ? get(from + c, left) * factor : each(0.0f); });
  }
};

template <int A, class T>
inline Register activated(const Register& z) {
  if constexpr (A == kSiLU) return z * sigmoid<T>(z);
  if constexpr (A == kReLU) return z < 0.0f ? each(0.0f) : z;  // what is no number stays none
  return z;
}

// What the gradient of activated(z) is multiplied with.
template <int A, class T>
inline Register slope(const Register& z) {
  if constexpr (A == kSiLU) {
    const Register s = sigmoid<T>(z);
    return s * (1.0f + z * (1.0f - s));
  }
  if constexpr (A == kReLU) return z <= 0.0f ? each(0.0f) : each(1.0f);
  return each(1.0f);
}

// The means of the first image's channels, roughly: what sums are shifted by, so that nothing cancels.
template <class T>
std::vector<float> rough_means(const T* x, int N, int C) {
  std::vector<float> mean(C);
  for (int n = 0; n < N; ++n)
    by_register(C, [&](int c, int, auto left) {
      put(mean.data() + c, get(mean.data() + c, left) + get(x + static_cast<long>(n) * C + c, left) / float(N), left);
    });
  return mean;
}

// Mean and biased variance of x (B, N, C) over the first two axes.
template <class T>
void norm_statistics(const T* x, float* mean, float* variance, int B, int N, int C, int threads) {
  std::vector<double> totals(2L * B * C);
  const std::vector<float> rough = rough_means(x, N, C);
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    double *sums = totals.data() + static_cast<long>(b) * C + first, *squares = sums + static_cast<long>(B) * C;
    const OfChannels centre(rough.data() + first, count);
    for (int start = 0; start < N; start += kRows) {
      Register sum[kBlockRegisters] = {}, square[kBlockRegisters] = {};
      for (int n = start; n < std::min(N, start + kRows); ++n) {
        const T* row = x + (static_cast<long>(b) * N + n) * C + first;
        by_register(count, [&](int c, int v, auto left) {
          const Register centred = get(row + c, left) - centre.at[v];
          sum[v] += centred;
          square[v] += centred * centred;
        });
      }
      for (int c = 0; c < count; ++c) {
        sums[c] += sum[c / kRegister][c % kRegister];
        squares[c] += square[c / kRegister][c % kRegister];
      }
    }
  });
  const double scale = 1.0 / (static_cast<double>(B) * N);
  for (int c = 0; c < C; ++c) {
    double sum = 0, square = 0;
    for (int b = 0; b < B; ++b) {
      sum += totals[static_cast<long>(b) * C + c];
      square += totals[(static_cast<long>(B) + b) * C + c];
    }
    mean[c] = static_cast<float>(rough[c] + sum * scale);
    variance[c] = static_cast<float>(std::max(square * scale - sum * scale * sum * scale, 0.0));  // no number stays none
  }
}

// y = act(x * scale + shift) and, where pooled is not null, its mean over the N places: x, y (B, N, C), pooled (B, C).
template <int A, class T>
void affine_forward(const T* x, const float* scale, const float* shift, T* y, float* pooled, int B, int N, int C,
                    int threads) {
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    const OfChannels scales(scale + first, count), shifts(shift + first, count);
    Register total[kBlockRegisters] = {};
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
      by_register(count, [&](int c, int v, auto left) {
        const Register out = activated<A, T>(get(x + at + c, left) * scales.at[v] + shifts.at[v]);
        put(y + at + c, out, left);
        total[v] += out;
      });
    }
    if (pooled)
      by_register(count, [&](int c, int v, auto left) {
        put(pooled + static_cast<long>(b) * C + first + c, total[v] / static_cast<float>(N), left);
      });
  });
}

// Backward of y = act(norm(x)), pooled = mean(y). With batch statistics (batch != 0) these depend on x too.
template <int A, class T>
void norm_backward(const T* x, const T* dy, const float* dpooled, const float* scale, const float* shift,
                   const float* mean, const float* inverse, T* dx, float* dweight, float* dbias, int batch, int B, int N,
                   int C, int threads) {
  std::vector<float> partial(2L * B * C), means(2L * C);
  float *biases = partial.data(), *weights = biases + static_cast<long>(B) * C;
  const auto pooled_of = [&](int b, int first) { return dpooled ? dpooled + static_cast<long>(b) * C + first : nullptr; };
  by_image_and_block(B, C, threads, [&](int b, int first, int count) {
    const OfChannels scales(scale + first, count), shifts(shift + first, count), centre(mean + first, count),
        pooled(pooled_of(b, first), count, 1.0f / N);
    Register bias[kBlockRegisters] = {}, weight[kBlockRegisters] = {};
    for (int n = 0; n < N; ++n) {
      const long at = (static_cast<long>(b) * N + n) * C + first;
      by_register(count, [&](int c, int v, auto left) {
        const Register in = get(x + at + c, left), grad = get(dy + at + c, left) + pooled.at[v];
        const Register dz = grad * slope<A, T>(in * scales.at[v] + shifts.at[v]);
        bias[v] += dz;
        weight[v] += dz * (in - centre.at[v]);
      });
    }
    const long to = static_cast<long>(b) * C + first;
    by_register(count, [&](int c, int v, auto left) {
      put(biases + to + c, bias[v], left);
      put(weights + to + c, weight[v] * get(inverse + first + c, left), left);
    });
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
      by_register(count, [&](int c, int v, auto left) {
        const Register in = get(x + at + c, left), grad = get(dy + at + c, left) + pooled.at[v];
        const Register dz = grad * slope<A, T>(in * scales.at[v] + shifts.at[v]);
        put(dx + at + c, scales.at[v] * (dz - bias.at[v] - (in - centre.at[v]) * weight.at[v]), left);
      });
    }
  });
}

}  // namespace

#define BY_ACTIVATION(function, T, ...)                        \
  switch (activation) {                                        \
    case kSiLU: return function<kSiLU, T>(__VA_ARGS__);        \
    case kReLU: return function<kReLU, T>(__VA_ARGS__);        \
    default: return function<kIdentity, T>(__VA_ARGS__);       \
  }

extern "C" {

// The functions above under a name for each type of map, "" or "_bf16" at its end.
#define FOR_MAPS_OF(T, end)                                                                                            \
  void lf_norm_statistics##end(const T* x, float* mean, float* variance, int B, int N, int C, int threads) {            \
    norm_statistics(x, mean, variance, B, N, C, threads);                                                              \
  }                                                                                                                    \
  void lf_affine_forward##end(const T* x, const float* scale, const float* shift, T* y, float* pooled, int activation,  \
                              int B, int N, int C, int threads) {                                                      \
    BY_ACTIVATION(affine_forward, T, x, scale, shift, y, pooled, B, N, C, threads)                                     \
  }                                                                                                                    \
  void lf_norm_backward##end(const T* x, const T* dy, const float* dpooled, const float* scale, const float* shift,     \
                             const float* mean, const float* inverse, T* dx, float* dweight, float* dbias, int batch,   \
                             int activation, int B, int N, int C, int threads) {                                       \
    BY_ACTIVATION(norm_backward, T, x, dy, dpooled, scale, shift, mean, inverse, dx, dweight, dbias, batch, B, N, C,    \
                  threads)                                                                                             \
  }

FOR_MAPS_OF(float, )
FOR_MAPS_OF(Bf16, _bf16)

}  // extern "C"
