// Mean and sum of squared deviations of each feature: twice over each block, the blocks merged by Chan's rule.
#pragma once

#include "layout.h"

namespace steadynorm {

struct Moments {
  double count = 0, mean = 0, square = 0;  // square: the sum of squared deviations from the mean

  double variance() const { return count > 0 ? square / count : 0; }

  // Chan, Golub & LeVeque 1979.
  void merge(const Moments& b) {
    if (b.count == 0) return;
    const double n = count + b.count, delta = b.mean - mean;
    mean += delta * (b.count / n);
    square += b.square + delta * delta * (count * b.count / n);
    count = n;
  }
};

template <class T>
STEADYNORM_KERNEL Moments block_moments(const T* x, const Planes& planes, int64_t channel, int64_t block) {
  using A = arithmetic<T>;
  int64_t count = 0;
  Sums<A, 1, 4> sum;
  planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
    count += n;
    sum.add(n, [&](auto lanes, int64_t i, auto* v)
                   STEADYNORM_LAMBDA { v[0] = load<decltype(lanes)::count>(x + offset + i); });
  });
  const A middle = sum.total(0) / A(count);
  Sums<A, 2, 4> deviations;
  planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
    deviations.add(n, [&](auto lanes, int64_t i, auto* v) STEADYNORM_LAMBDA {
      v[0] = load<decltype(lanes)::count>(x + offset + i) - middle;
      v[1] = v[0] * v[0];
    });
  });
  const double left = deviations.total(0), correction = left / count;
  return {double(count), middle + correction, deviations.total(1) - left * correction};
}

// The moments of `width` neighbouring features, side by side.
struct RowMoments {
  double count = 0;
  std::vector<double> mean, square;

  explicit RowMoments(int64_t width = 0) : mean(width), square(width) {}
  Moments at(int64_t c) const { return {count, mean[c], square[c]}; }

  // Merge what a block of n rows gave: a first mean, sums of what is left after it, and of its squares.
  template <class A> void merge(int64_t n, const A* middle, const A* sums, const A* squares) {
    const double total = count + n, share = n / total, both = count * share, each = 1. / n;
    double *m = mean.data(), *s = square.data();
#pragma omp simd
    for (int64_t c = 0; c < int64_t(mean.size()); ++c) {
      const double left = sums[c], correction = left * each;
      const double delta = middle[c] + correction - m[c];
      m[c] += delta * share;
      s[c] += squares[c] - left * correction + delta * delta * both;
    }
    count = total;
  }

  void merge(const RowMoments& b) {
    if (b.count == 0) return;
    const double total = count + b.count, share = b.count / total, both = count * share;
    const double *other_mean = b.mean.data(), *other_square = b.square.data();
    double *m = mean.data(), *s = square.data();
#pragma omp simd
    for (size_t c = 0; c < mean.size(); ++c) {
      const double delta = other_mean[c] - m[c];
      m[c] += delta * share;
      s[c] += other_square[c] + delta * delta * both;
    }
    count = total;
  }
};

template <class T>
STEADYNORM_KERNEL RowMoments group_moments(const T* x, const Rows& layout, int64_t rows, int64_t width) {
  using A = arithmetic<T>;
  RowMoments moments(width);
  std::vector<A> buffer(3 * width);
  A *middle = buffer.data(), *sums = middle + width;
  const auto nothing = [](auto, int64_t) { return 0; };
  for (int64_t row = 0; row < rows; row += layout.rows_a_block()) {
    const int64_t n = std::min(layout.rows_a_block(), rows - row);
    const T* block = x + row * width;
    const auto ahead = [&](int64_t i) STEADYNORM_LAMBDA { fetch(block + i); };
    std::fill(buffer.begin(), buffer.end(), A(0));
    const auto value = [&](auto lanes, int64_t i, auto, auto* v)
                           STEADYNORM_LAMBDA { v[0] = load<decltype(lanes)::count>(block + i); };
    sum_rows<1, T>(n, width, middle, layout.is_large, ahead, nothing, value);
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) middle[c] /= A(n);
    const auto middles = [&](auto lanes, int64_t c) { return load<decltype(lanes)::count>(middle + c); };
    const auto deviation = [&](auto lanes, int64_t i, auto mean, auto* v) STEADYNORM_LAMBDA {
      v[0] = load<decltype(lanes)::count>(block + i) - mean;
      v[1] = v[0] * v[0];
    };
    sum_rows<2, T>(n, width, sums, false, ahead, middles, deviation);
    moments.merge(n, middle, sums, sums + width);
  }
  return moments;
}

// The moments of all groups, one for each of the layout's features.
template <class T> std::vector<Moments> row_moments(const T* x, const Rows& layout) {
  std::vector<RowMoments> parts(layout.groups + 1);
  layout.each_group(false, [&](int64_t group, int64_t offset, int64_t rows, int64_t width) {
    parts[group] = group_moments(x + offset, layout, rows, width);
  });
  for (int64_t group = 1; group < layout.groups; ++group) parts[0].merge(parts[group]);
  std::vector<Moments> moments(layout.c);
  for (int64_t c = 0; c < layout.c; ++c) {
    for (int64_t copy = 0; copy < layout.fold; ++copy) moments[c].merge(parts[0].at(copy * layout.c + c));
    if (layout.rest > 0) moments[c].merge(parts[layout.groups].at(c));
  }
  return moments;
}

}  // namespace steadynorm
