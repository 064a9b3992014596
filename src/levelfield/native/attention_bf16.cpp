// Attention of bfloat16 queries, keys and values in groups of at most 64 tokens, in float: small products of matrices whose
// rows lie in registers, 16 numbers at a time.
//
// A group is the tokens of a map (B, H, W, C) that share (row mod g, column mod g); with g = 1 it is the whole map.

#include <vector>

#include "lanes.h"

namespace {

constexpr int kMostTokens = 64;

inline int vectors_for(int numbers) { return (numbers + kLanes - 1) / kLanes; }

// out (R, 16 V) = a (R, n) * b (n, 16 V), accumulated in registers; a's rows and columns lie `row` and `column` apart.
template <int R, int V>
inline void tile(const float* a, long row, long column, const float* b, long b_row, int n, float* out, long out_row) {
  Vector sum[R][V] = {};
  for (int k = 0; k < n; ++k) {
    Vector line[V];
    for (int v = 0; v < V; ++v) line[v] = read(b + k * b_row + v * kLanes);
    for (int r = 0; r < R; ++r) {
      const float factor = a[r * row + k * column];
      for (int v = 0; v < V; ++v) sum[r][v] += factor * line[v];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) write(out + r * out_row + v * kLanes, sum[r][v]);
}

template <int V>
void tiles(int rows, const float* a, long row, long column, const float* b, long b_row, int n, float* out, long out_row) {
  int r = 0;
  for (; r + 4 <= rows; r += 4) tile<4, V>(a + r * row, row, column, b, b_row, n, out + r * out_row, out_row);
  for (; r < rows; ++r) tile<1, V>(a + r * row, row, column, b, b_row, n, out + r * out_row, out_row);
}

// out (rows, 16 vectors) = a (rows, n) * b (n, 16 vectors).
void product(int rows, const float* a, long row, long column, const float* b, long b_row, int n, int vectors, float* out,
             long out_row) {
  for (int v = 0; v < vectors; v += 4) {
    const float* from = b + v * kLanes;
    float* to = out + v * kLanes;
    switch (std::min(4, vectors - v)) {
      case 1: tiles<1>(rows, a, row, column, from, b_row, n, to, out_row); break;
      case 2: tiles<2>(rows, a, row, column, from, b_row, n, to, out_row); break;
      case 3: tiles<3>(rows, a, row, column, from, b_row, n, to, out_row); break;
      default: tiles<4>(rows, a, row, column, from, b_row, n, to, out_row);
    }
  }
}

// One group of one head at a time: its numbers side by side, in float.
class Group {
 public:
  Group(int H, int W, int heads, int width, int grid)
      : H_(H), W_(W), grid_(grid), tokens_((H / grid) * (W / grid)), width_(width), wide_(heads * width),
        vectors_(vectors_for(width)), long_vectors_(vectors_for(tokens_)), row_(vectors_ * kLanes),
        long_row_(long_vectors_ * kLanes), numbers_(9L * kMostTokens * std::max(row_, long_row_)) {
    long size = static_cast<long>(kMostTokens) * row_, longer = static_cast<long>(width) * long_row_;
    float* next = numbers_.data();
    for (float** part : {&queries_, &keys_, &values_, &grads_, &result_}) *part = next, next += size;
    turned_ = next, next += longer;
    weights_ = next, next += static_cast<long>(kMostTokens) * long_row_;
    slopes_ = next;
  }

  void enter(int b, int row, int column) {
    int n = 0;
    for (int y = row; y < H_; y += grid_)
      for (int x = column; x < W_; x += grid_) pixels_[n++] = (static_cast<long>(b) * H_ + y) * W_ + x;
  }

  void forward(const Bf16* qkv, Bf16* out) {
    attend(qkv);
    gather(qkv + 2 * wide_, 3 * wide_, values_);
    product(tokens_, weights_, long_row_, 1, values_, row_, tokens_, vectors_, result_, row_);
    scatter(out, wide_, 1.0f);
  }

  void backward(const Bf16* qkv, const Bf16* grad, Bf16* dqkv) {
    attend(qkv);
    gather(qkv + wide_, 3 * wide_, keys_);
    gather(grad, wide_, grads_);
    product(tokens_, weights_, 1, long_row_, grads_, row_, tokens_, vectors_, result_, row_);
    scatter(dqkv + 2 * wide_, 3 * wide_, 1.0f);
    turn(qkv + 2 * wide_);
    product(tokens_, grads_, row_, 1, turned_, long_row_, width_, long_vectors_, slopes_, long_row_);
    for (int i = 0; i < tokens_; ++i) {
      const float* weights = weights_ + i * long_row_;
      float* slopes = slopes_ + i * long_row_;
      Vector along = {};
      for (int j = 0; j < long_row_; j += kLanes) along += read(weights + j) * read(slopes + j);
      const float mean = sum_of(along);
      for (int j = 0; j < long_row_; j += kLanes) write(slopes + j, read(weights + j) * (read(slopes + j) - mean));
    }
    product(tokens_, slopes_, long_row_, 1, keys_, row_, tokens_, vectors_, result_, row_);
    scatter(dqkv, 3 * wide_, scale());
    product(tokens_, slopes_, 1, long_row_, queries_, row_, tokens_, vectors_, result_, row_);
    scatter(dqkv + wide_, 3 * wide_, scale());
  }

 private:
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(width_)); }

  // weights_ (tokens, tokens) = softmax(q k^T / sqrt(width)); zeros beyond the last token.
  void attend(const Bf16* qkv) {
    gather(qkv, 3 * wide_, queries_);
    turn(qkv + wide_);
    product(tokens_, queries_, row_, 1, turned_, long_row_, width_, long_vectors_, weights_, long_row_);
    for (int i = 0; i < tokens_; ++i) {
      float* row = weights_ + i * long_row_;
      for (int j = tokens_; j < long_row_; ++j) row[j] = -INFINITY;
      Vector most = read(row);
      for (int j = kLanes; j < long_row_; j += kLanes) {
        const Vector next = read(row + j);
        most = next > most ? next : most;
      }
      const float top = most_of(most);
      Vector sum = {};
      for (int j = 0; j < long_row_; j += kLanes) {
        const Vector power = exp_lanes((read(row + j) - top) * scale());
        write(row + j, power);
        sum += power;
      }
      const float inverse = 1.0f / sum_of(sum);
      for (int j = 0; j < long_row_; j += kLanes) write(row + j, read(row + j) * inverse);
      for (int j = tokens_; j < long_row_; ++j) row[j] = 0;
    }
  }

  void gather(const Bf16* from, long stride, float* to) const {
    for (int j = 0; j < tokens_; ++j)
      for (int c = 0; c < width_; c += kLanes) write(to + j * row_ + c, read(from + pixels_[j] * stride + c, width_ - c));
  }

  // turned_ (width, tokens): what `gather` would give, its columns as rows.
  void turn(const Bf16* from) {
    for (int j = 0; j < tokens_; ++j) {
      const Bf16* token = from + pixels_[j] * 3 * wide_;
      for (int c = 0; c < width_; ++c) turned_[c * long_row_ + j] = load(token[c]);
    }
  }

  void scatter(Bf16* to, long stride, float factor) const {
    for (int j = 0; j < tokens_; ++j)
      for (int c = 0; c < width_; c += kLanes)
        write(to + pixels_[j] * stride + c, read(result_ + j * row_ + c) * factor, width_ - c);
  }

  int H_, W_, grid_, tokens_, width_;
  long wide_;
  int vectors_, long_vectors_;
  long row_, long_row_;
  long pixels_[kMostTokens];
  std::vector<float> numbers_;
  float *queries_, *keys_, *values_, *grads_, *result_, *turned_, *weights_, *slopes_;
};

// Runs work(group, head) on every group of every image and head.
template <class Work>
void by_group(int B, int H, int W, int heads, int width, int grid, int threads, const Work& work) {
#pragma omp parallel num_threads(threads)
  {
    Group group(H, W, heads, width, grid);
#pragma omp for collapse(3) schedule(static)
    for (int b = 0; b < B; ++b)
      for (int row = 0; row < grid; ++row)
        for (int column = 0; column < grid; ++column) {
          group.enter(b, row, column);
          for (int h = 0; h < heads; ++h) work(group, static_cast<long>(h) * width);
        }
  }
}

}  // namespace

extern "C" {

void lf_grid_forward_bf16(const Bf16* qkv, Bf16* out, int B, int H, int W, int heads, int width, int grid, int threads) {
  by_group(B, H, W, heads, width, grid, threads, [&](Group& group, long at) { group.forward(qkv + at, out + at); });
}

void lf_grid_backward_bf16(const Bf16* qkv, const Bf16* grad, Bf16* dqkv, int B, int H, int W, int heads, int width,
                           int grid, int threads) {
  by_group(B, H, W, heads, width, grid, threads,
           [&](Group& group, long at) { group.backward(qkv + at, grad + at, dqkv + at); });
}

}  // extern "C"
