// LayerNorm and sums over rows of bfloat16 maps laid out (..., C), each in one pass over memory, 16 numbers at a time.
//
// Arithmetic is in float; what belongs to channels is float. Every sum over rows is cut into a number of parts that depends
// on the shape alone, so that results do not depend on the number of threads.

#include <vector>

#include "lanes.h"

namespace {

constexpr int kMostParts = 64;

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
