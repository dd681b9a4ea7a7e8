// y = activation(M (x − mean) + shift + residual), where M mixes the features of a group: whitening, applied.
#pragma once

#include "kernels.h"
#include "activations.h"

namespace steadynorm {

constexpr int64_t stretch = 1024;  // positions of a plane that one thread takes at a time

// What a position of a group needs, the group's first feature being number 0.
template <class A> struct Mixed {
  const A *matrix, *mean, *shift;
  int64_t size;
};

// Q outputs from `output` on, at N · 2 or N positions in a row of a plane; s is the step from feature to feature.
template <int N, int Q, int U, class T, class Act>
STEADYNORM_INLINE void mix_at(const T* x, const T* residual, T* y, int64_t s, const Mixed<arithmetic<T>>& of,
                              int64_t output) {
  using A = arithmetic<T>;
  const A* rows = of.matrix + output * of.size;
  vec<A, N> sums[Q][U];
  STEADYNORM_UNROLL
  for (int q = 0; q < Q; ++q)
    for (int u = 0; u < U; ++u) sums[q][u] = broadcast<A, N>(of.shift[output + q]);
  for (int64_t k = 0; k < of.size; ++k) {
    vec<A, N> centred[U];
    for (int u = 0; u < U; ++u) centred[u] = load<N>(x + k * s + u * N) - of.mean[k];
    STEADYNORM_UNROLL
    for (int q = 0; q < Q; ++q)
      for (int u = 0; u < U; ++u) sums[q][u] += rows[q * of.size + k] * centred[u];
  }
  STEADYNORM_UNROLL
  for (int q = 0; q < Q; ++q)
    for (int u = 0; u < U; ++u) {
      const int64_t at = (output + q) * s + u * N;
      if (residual) sums[q][u] += load<N>(residual + at);
      store<N>(y + at, Act::template value<A, N>(sums[q][u]));
    }
}

template <int N, int U, class T, class Act>
STEADYNORM_INLINE void mix_outputs(const T* x, const T* residual, T* y, int64_t s, const Mixed<arithmetic<T>>& of) {
  int64_t output = 0;
  for (; output + 4 <= of.size; output += 4) mix_at<N, 4, U, T, Act>(x, residual, y, s, of, output);
  for (; output < of.size; ++output) mix_at<N, 1, U, T, Act>(x, residual, y, s, of, output);
}

// The first n positions of a group's planes.
template <class T, class Act>
STEADYNORM_KERNEL void mix_planes(const T* x, const T* residual, T* y, int64_t s, int64_t n,
                                  const Mixed<arithmetic<T>>& of) {
  constexpr int W = width<arithmetic<T>>;
  const auto extra = [&](int64_t i) { return residual ? residual + i : nullptr; };
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) mix_outputs<W, 2, T, Act>(x + i, extra(i), y + i, s, of);
  for (; i + W <= n; i += W) mix_outputs<W, 1, T, Act>(x + i, extra(i), y + i, s, of);
  for (; i < n; ++i) mix_outputs<1, 1, T, Act>(x + i, extra(i), y + i, s, of);
}

// R positions, one after the other, whose features lie side by side, as wide as `width`; the matrix is given transposed,
// so that outputs are neighbours as well.
template <int R, class T, class Act>
STEADYNORM_KERNEL void mix_rows(const T* x, const T* residual, T* y, int64_t width, const Mixed<arithmetic<T>>& of) {
  using A = arithmetic<T>;
  sweep<A>(of.size, [&](auto lanes, int64_t output) STEADYNORM_LAMBDA {
    constexpr int N = decltype(lanes)::count;
    vec<A, N> sums[R];
    STEADYNORM_UNROLL
    for (int r = 0; r < R; ++r) sums[r] = load<N>(of.shift + output);
    for (int64_t k = 0; k < of.size; ++k) {
      const auto column = load<N>(of.matrix + k * of.size + output);
      STEADYNORM_UNROLL
      for (int r = 0; r < R; ++r) sums[r] += column * (load<1>(x + r * width + k)[0] - of.mean[k]);
    }
    STEADYNORM_UNROLL
    for (int r = 0; r < R; ++r) {
      const int64_t at = r * width + output;
      if (residual) sums[r] += load<N>(residual + at);
      store<N>(y + at, Act::template value<A, N>(sums[r]));
    }
  });
}

template <class T> void mix(const Inputs<T>& in, const Mixing<arithmetic<T>>& by, T* y) {
  using A = arithmetic<T>;
  if (in.layout.numel() == 0) return;
  const int64_t n = in.layout.n, c = in.layout.c, s = in.layout.s, size = by.size, groups = c / size;
  const auto of = [&](int64_t group) {
    return Mixed<A>{by.matrix.data() + group * size * size, by.mean.data() + group * size,
                    by.shift.data() + group * size, size};
  };
  with_activation(in.activation, [&](auto act) {
    using Act = decltype(act);
    const auto* extra = in.extra;
    if (in.layout.rows) {
      constexpr int R = 8;
      parallel_for(0, n, 1 + grain / (c * size), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end;) {
          const bool several = row + R <= end;
          for (int64_t group = 0; group < groups; ++group) {
            const int64_t at = row * c + group * size;
            (several ? mix_rows<R, T, Act> : mix_rows<1, T, Act>)(in.x + at, extra ? extra + at : nullptr, y + at, c,
                                                                  of(group));
          }
          row += several ? R : 1;
        }
      });
      return;
    }
    const int64_t parts = (s + stretch - 1) / stretch, share = 1 + grain / (size * size * stretch);
    parallel_for(0, n * groups * parts, share, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t group = k / parts % groups, first = k % parts * stretch;
        const int64_t at = (k / parts / groups * c + group * size) * s + first;
        const int64_t count = std::min(stretch, s - first);
        mix_planes<T, Act>(in.x + at, extra ? extra + at : nullptr, y + at, s, count, of(group));
      }
    });
  });
}

}  // namespace steadynorm
