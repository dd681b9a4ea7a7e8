// How a tensor (N, C, *S) lies in memory, and the order in which it is walked.
//
// Planes: each (n, c) is a run of S numbers (torch's contiguous). Rows: each position is a run of C numbers
// (channels_last, and every (N, C)). Work is cut into pieces whose size does not depend on the number of threads, and
// their results are put together in a fixed order, so that neither do the sums.
#pragma once

#include <algorithm>
#include <vector>

#include "simd.h"

namespace steadynorm {

// torch's own threads, by operators.cpp.
void parallel_for(int64_t begin, int64_t end, int64_t grain_size, Callable<void(int64_t, int64_t)> f);
int64_t threads();

constexpr int64_t grain = 32768;          // numbers below which a second thread does not pay, torch's own choice
constexpr int64_t block_numbers = 4096;   // of one feature, summed twice while they are in the first cache
constexpr int64_t large_bytes = 1 << 22;  // as many would push others out of the caches

struct Layout {
  bool dense, rows;
  int64_t bytes;    // of a number
  int64_t n, c, s;  // rows have s = 1
  int64_t numel() const { return n * c * s; }
  int64_t values() const { return n * s; }  // of one feature

  bool is_large() const { return numel() * bytes >= large_bytes; }

  // Whether what is written to p is streamed. Rows must be whole lines; planes may begin within one, if it is cheap to
  // compute the numbers up to the next one by one.
  bool streams_to(const void* p, bool cheap) const {
    const bool whole = until_line(p) == 0 && (rows ? c : s) * bytes % line_bytes == 0;
    return is_large() && (whole || (!rows && cheap));
  }
};

// What the kernels need of a feature; `slope` and `offset` in the backward pass only.
template <class A, int N> struct Values {
  vec<A, N> mean, scale, shift, slope, offset;
};

// The same of one feature.
template <class A> struct Feature {
  A mean, scale, shift, slope, offset;

  template <int N> Values<A, N> values() const {
    return {broadcast<A, N>(mean), broadcast<A, N>(scale), broadcast<A, N>(shift), broadcast<A, N>(slope),
            broadcast<A, N>(offset)};
  }
};

template <class A> struct Features {
  int64_t stride;
  std::vector<A> numbers;

  explicit Features(int64_t c) : stride(c), numbers(5 * c) {}
  A* mean() { return numbers.data(); }
  A* scale() { return mean() + stride; }
  A* shift() { return mean() + 2 * stride; }
  A* slope() { return mean() + 3 * stride; }
  A* offset() { return mean() + 4 * stride; }

  template <int N> Values<A, N> along(int64_t c) const {
    const A* p = numbers.data() + c;
    return {load<N>(p), load<N>(p + stride), load<N>(p + 2 * stride), load<N>(p + 3 * stride), load<N>(p + 4 * stride)};
  }
  Feature<A> at(int64_t c) const {
    const A* p = numbers.data() + c;
    return {p[0], p[stride], p[2 * stride], p[3 * stride], p[4 * stride]};
  }
  // The same features side by side `times` over.
  Features repeated(int64_t times) const {
    Features wide(stride * times);
    for (int64_t k = 0; k < 5 * times; ++k)
      std::copy_n(numbers.data() + k / times * stride, stride, wide.numbers.data() + k * stride);
    return wide;
  }
};

// Planes, a feature's numbers in blocks: several short planes, or a part of a long one.
struct Planes {
  int64_t n, c, s, planes_a_block, blocks_a_plane, blocks;

  explicit Planes(const Layout& layout) : n(layout.n), c(layout.c), s(layout.s) {
    planes_a_block = std::max<int64_t>(1, block_numbers / std::max<int64_t>(1, s));
    blocks_a_plane = s > block_numbers ? (s + block_numbers - 1) / block_numbers : 1;
    blocks = s == 0 ? 0 : blocks_a_plane * ((n + planes_a_block - 1) / planes_a_block);
  }

  // Call f(offset, count) for the runs of a block.
  template <class F> STEADYNORM_INLINE void runs(int64_t channel, int64_t block, F&& f) const {
    const int64_t first = block / blocks_a_plane * planes_a_block, part = block % blocks_a_plane * block_numbers;
    const int64_t count = blocks_a_plane == 1 ? s : std::min(block_numbers, s - part);
    for (int64_t i = first; i < std::min(n, first + planes_a_block); ++i) f((i * c + channel) * s + part, count);
  }

  // measure(channel, block) -> State for all blocks of a feature, settle(channel, State), then apply(channel, block).
  // With enough features a thread does all for one, which is in its cache the second time.
  template <class State>
  void run(Callable<State(int64_t, int64_t)> measure, Callable<void(int64_t, const State&)> settle,
           Callable<void(int64_t, int64_t)> apply) const {
    const int64_t numbers = std::max<int64_t>(1, n * s);
    if (c >= 4 * threads() || c * numbers <= grain) {
      parallel_for(0, c, 1 + (grain - 1) / numbers, [&](int64_t begin, int64_t end) {
        for (int64_t channel = begin; channel < end; ++channel) {
          State state{};
          for (int64_t block = 0; block < blocks; ++block) state.merge(measure(channel, block));
          settle(channel, state);
          for (int64_t block = blocks - 1; block >= 0; --block) apply(channel, block);
        }
      });
      return;
    }
    std::vector<State> states(c * blocks);
    const int64_t share = 1 + (grain - 1) / block_numbers;
    parallel_for(0, c * blocks, share, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) states[k] = measure(k / blocks, k % blocks);
    });
    for (int64_t channel = 0; channel < c; ++channel) {
      State state{};
      for (int64_t block = 0; block < blocks; ++block) state.merge(states[channel * blocks + block]);
      settle(channel, state);
    }
    parallel_for(0, c * blocks, share, [&](int64_t begin, int64_t end) {
      for (int64_t k = end - 1; k >= begin; --k) apply(k / blocks, k % blocks);
    });
  }
};

// Rows; short ones are walked `fold` at a time as one, so that vectors are filled. What is left over is `rest` rows.
struct Rows {
  bool is_large;
  int64_t c, fold, wide, rows, rest, groups;

  explicit Rows(const Layout& layout) : is_large(layout.is_large()), c(layout.c) {
    fold = std::clamp<int64_t>(c == 0 ? 1 : 64 / c, 1, std::max<int64_t>(1, layout.n));
    wide = c * fold;
    rows = layout.n / fold;
    rest = layout.n % fold;
    // as many as share the work evenly, and no more, since their sums are put together one after the other
    const int64_t pieces = layout.numel() / grain;
    groups = std::clamp<int64_t>(std::max(std::min<int64_t>(pieces, 8), pieces / 8), 1, 64);
  }

  int64_t begin(int64_t group) const { return rows * group / groups; }
  int64_t rows_a_block() const { return std::clamp<int64_t>(32768 / std::max<int64_t>(1, wide), 8, 64); }

  // f(group, offset, rows, width) for every group of rows; the left-over ones are group number `groups`.
  void each_group(bool backwards, Callable<void(int64_t, int64_t, int64_t, int64_t)> f) const {
    parallel_for(0, groups, 1, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        const int64_t group = backwards ? first + last - 1 - k : k;
        f(group, begin(group) * wide, begin(group + 1) - begin(group), wide);
      }
    });
    if (rest > 0) f(groups, rows * wide, rest, c);
  }
};

// Call f(Lanes<N>, first, last, c) for the rows [first, last), a few at once, and the columns [c, c + N): what is known
// of a column is loaded once for those rows. Going down all the rows with a strip of columns would keep more in
// registers, and wait for memory at every row.
//
// If it `asks`, ahead(i) asks for the line of memory at i: the rows that come next, in the order in which they lie,
// since by itself a processor foresees one run well, and not several short ones at once.
template <class T, class P, class F>
STEADYNORM_INLINE void each_rows(int64_t rows, int64_t width, bool asks, P&& ahead, F&& f) {
  constexpr int64_t at_once = 4, line = line_bytes / sizeof(T), short_rows = 2048 / sizeof(T);
  for (int64_t first = 0; first < rows; first += at_once) {
    const int64_t last = std::min(rows, first + at_once), next = first + at_once;
    const bool asks_now = asks && width <= short_rows && next + at_once <= rows;
    sweep<arithmetic<T>>(width, [&](auto lanes, int64_t c) STEADYNORM_LAMBDA {
      if (asks_now)
        for (int64_t i = 0; i < at_once * decltype(lanes)::count; i += line) ahead(next * width + at_once * c + i);
      f(lanes, first, last, c);
    });
  }
}

// sums[k][channel] += v[k] over the rows, where f(Lanes<N>, offset, values of the channel, v) fills v.
template <int K, class T, class P, class G, class F>
STEADYNORM_INLINE void sum_rows(int64_t rows, int64_t width, arithmetic<T>* sums, bool asks, P&& ahead, G&& values,
                                F&& f) {
  each_rows<T>(rows, width, asks, ahead, [&](auto lanes, int64_t first, int64_t last, int64_t c) STEADYNORM_LAMBDA {
    constexpr int N = decltype(lanes)::count;
    const auto of = values(lanes, c);
    vec<arithmetic<T>, N> total[K], v[K];
    STEADYNORM_UNROLL
    for (int k = 0; k < K; ++k) total[k] = load<N>(sums + k * width + c);
    for (int64_t row = first; row < last; ++row) {
      f(lanes, row * width + c, of, v);
      STEADYNORM_UNROLL
      for (int k = 0; k < K; ++k) total[k] += v[k];
    }
    STEADYNORM_UNROLL
    for (int k = 0; k < K; ++k) store<N>(sums + k * width + c, total[k]);
  });
}

}  // namespace steadynorm
