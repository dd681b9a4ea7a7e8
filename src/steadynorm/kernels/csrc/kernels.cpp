// Forward and backward of batch norm, residual and activation, for the storage type STEADYNORM_TYPE.

#include "activations.h"
#include "kernels.h"

namespace steadynorm {

// y = activation((x − mean) · scale + shift + residual) in one place.
template <class T, class Act> struct Forward {
  using A = arithmetic<T>;
  const T *x, *residual;
  T* y;

  template <int N> STEADYNORM_INLINE void operator()(Lanes<N>, int64_t i, const Values<A, N>& v) const {
    auto z = (load<N>(x + i) - v.mean) * v.scale + v.shift;
    if (residual) z += load<N>(residual + i);
    store<N>(y + i, Act::template value<A, N>(z));
  }
};

// x = (activation⁻¹(y) − shift) / scale + mean in one place.
template <class T, class Act> struct Inverse {
  using A = arithmetic<T>;
  const T* y;
  T* x;

  template <int N> STEADYNORM_INLINE void operator()(Lanes<N>, int64_t i, const Values<A, N>& v) const {
    const auto z = Act::template inverse<A, N>(load<N>(y + i));
    store<N>(x + i, (z - v.shift) / v.scale + v.mean);
  }
};

// dz = activation'(z) · dy in one place, z being computed anew; `saved` is the residual, or the output if that tells.
template <class T, class Act> struct Gradient {
  using A = arithmetic<T>;
  const T *x, *dy, *saved;
  T *dx, *dz;
  static constexpr int sums_at_once = Act::cheap ? 4 : 1;
  bool constant;  // the statistics do not depend on x, so that dx is known at once

  template <int N> STEADYNORM_INLINE vec<A, N> at(int64_t i, const Values<A, N>& v, vec<A, N> centred) const {
    const auto above = load<N>(dy + i);
    if constexpr (std::is_same_v<Act, Identity>) return above;
    else {
      if constexpr (Act::from_output)
        if (saved) return Act::template slope_times<A, N>(load<N>(saved + i), above);
      auto z = centred * v.scale + v.shift;
      if (saved) z += load<N>(saved + i);
      return Act::template slope_times<A, N>(z, above);
    }
  }

  // The terms of Σ dz and Σ dz (x − mean).
  template <int N> STEADYNORM_INLINE void measure(Lanes<N>, int64_t i, const Values<A, N>& v, vec<A, N>* sums) const {
    const auto centred = load<N>(x + i) - v.mean;
    const auto g = at<N>(i, v, centred);
    if (dz) store<N>(dz + i, g);
    if (dx && constant) store<N>(dx + i, g * v.scale);
    sums[0] = g;
    sums[1] = g * centred;
  }

  template <int N> STEADYNORM_INLINE void operator()(Lanes<N>, int64_t i, const Values<A, N>& v) const {
    const auto centred = load<N>(x + i) - v.mean;
    // what bfloat16 rounded would not cancel against the sums
    const auto g = std::is_same_v<T, A> && dz ? load<N>(dz + i) : at<N>(i, v, centred);
    store<N>(dx + i, g * v.scale + (centred * v.slope + v.offset));
  }
};

// f(lanes, i, values) over one block of a feature.
template <class A, class F>
STEADYNORM_KERNEL void apply_block(const Planes& planes, const Features<A>& features, int64_t channel, int64_t block,
                                   const F& f) {
  planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
    const Feature<A> feature = features.at(channel);  // copies, which no store can change: they stay in registers
    const F copy = f;
    sweep<A>(n, [&](auto lanes, int64_t i) STEADYNORM_LAMBDA {
      copy(lanes, offset + i, feature.template values<decltype(lanes)::count>());
    });
  });
}

// f(lanes, i, values) in rows that start at `start`.
template <class A, class F>
STEADYNORM_KERNEL void apply_group(const Features<A>& wide, int64_t start, int64_t rows, int64_t width, const F& f) {
  const F copy = f;
  each_rows<A>(rows, width, [&](auto lanes, int64_t first, int64_t last, int64_t c) STEADYNORM_LAMBDA {
    const auto values = wide.template along<decltype(lanes)::count>(c);
    for (int64_t row = first; row < last; ++row) copy(lanes, start + row * width + c, values);
  });
}

template <class A, class F> void apply_rows(const Rows& layout, const Features<A>& features, const F& f) {
  const Features<A> wide = features.repeated(layout.fold);
  layout.each_group(true, [&](int64_t, int64_t start, int64_t rows, int64_t width) {
    apply_group(wide, start, rows, width, f);
  });
}

struct Nothing {
  void merge(const Nothing&) {}
};

template <class A, class F> void apply_everywhere(const Layout& layout, const Features<A>& features, const F& f) {
  if (layout.rows) return apply_rows(Rows(layout), features, f);
  const Planes planes(layout);
  planes.run<Nothing>([](int64_t, int64_t) { return Nothing{}; }, [](int64_t, const Nothing&) {},
                      [&](int64_t channel, int64_t block) { apply_block(planes, features, channel, block, f); });
}

// Statistics of every feature; settle(c, Moments) as they become known, then f everywhere.
template <class T, class Settle, class F>
void measure_and_apply(const T* x, const Layout& layout, const Features<arithmetic<T>>& features, Settle&& settle,
                       const F& f) {
  if (layout.rows) {
    const Rows rows(layout);
    const auto moments = row_moments(x, rows);
    for (int64_t c = 0; c < layout.c; ++c) settle(c, moments[c]);
    return apply_rows(rows, features, f);
  }
  const Planes planes(layout);
  planes.run<Moments>([&](int64_t c, int64_t block) { return block_moments(x, planes, c, block); }, settle,
                      [&](int64_t c, int64_t block) { apply_block(planes, features, c, block, f); });
}

struct Pair {
  double first = 0, second = 0;
  void merge(const Pair& b) { first += b.first, second += b.second; }
};

template <class T, class Act>
STEADYNORM_KERNEL Pair block_sums(const Gradient<T, Act>& gradient, const Planes& planes,
                                  const Features<arithmetic<T>>& features, int64_t channel, int64_t block) {
  Sums<arithmetic<T>, 2, Gradient<T, Act>::sums_at_once> sums;
  planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
    const auto feature = features.at(channel);
    const Gradient<T, Act> copy = gradient;
    sums.add(n, [&](auto lanes, int64_t i, auto* v) STEADYNORM_LAMBDA {
      copy.measure(lanes, offset + i, feature.template values<decltype(lanes)::count>(), v);
    });
  });
  return {double(sums.total(0)), double(sums.total(1))};
}

template <class T, class Act>
STEADYNORM_KERNEL std::vector<double> group_sums(const Gradient<T, Act>& gradient, const Features<arithmetic<T>>& wide,
                                                 int64_t start, int64_t rows, int64_t width) {
  using A = arithmetic<T>;
  std::vector<double> total(2 * width);
  std::vector<A> sums(2 * width);
  const Gradient<T, Act> copy = gradient;
  const auto values = [&](auto lanes, int64_t c) { return wide.template along<decltype(lanes)::count>(c); };
  for (int64_t row = 0; row < rows; row += 64) {
    std::fill(sums.begin(), sums.end(), A(0));
    sum_rows<2>(std::min<int64_t>(64, rows - row), width, sums.data(), values,
                [&](auto lanes, int64_t i, const auto& v, auto* terms) STEADYNORM_LAMBDA {
                  copy.measure(lanes, start + row * width + i, v, terms);
                });
    double* totals = total.data();
    const A* parts = sums.data();
#pragma omp simd
    for (int64_t c = 0; c < 2 * width; ++c) totals[c] += parts[c];
  }
  return total;
}

template <class T, class Act>
std::vector<Pair> row_sums(const Gradient<T, Act>& gradient, const Rows& layout,
                           const Features<arithmetic<T>>& features) {
  const Features<arithmetic<T>> wide = features.repeated(layout.fold);
  std::vector<std::vector<double>> parts(layout.groups + 1);
  layout.each_group(false, [&](int64_t group, int64_t start, int64_t rows, int64_t width) {
    parts[group] = group_sums(gradient, wide, start, rows, width);
  });
  std::vector<Pair> pairs(layout.c);
  for (const auto& part : parts)
    for (int64_t c = 0; c < int64_t(part.size()) / 2; ++c)
      pairs[c % layout.c].merge({part[c], part[part.size() / 2 + c]});
  return pairs;
}

// The sums of every feature; settle(c, Pair) as they become known, then, if asked, dx everywhere.
template <class T, class Act, class Settle>
void sum_and_apply(const Gradient<T, Act>& gradient, const Layout& layout, const Features<arithmetic<T>>& features,
                   Settle&& settle, bool apply) {
  if (layout.rows) {
    const Rows rows(layout);
    const auto sums = row_sums(gradient, rows, features);
    for (int64_t c = 0; c < layout.c; ++c) settle(c, sums[c]);
    if (apply) apply_rows(rows, features, gradient);
    return;
  }
  const Planes planes(layout);
  planes.run<Pair>([&](int64_t c, int64_t block) { return block_sums(gradient, planes, features, c, block); }, settle,
                   [&](int64_t c, int64_t block) {
                     if (apply) apply_block(planes, features, c, block, gradient);
                   });
}

template <class T> std::vector<Moments> measure(const Layout& layout, const T* x) {
  if (layout.rows) return row_moments(x, Rows(layout));
  std::vector<Moments> batch(layout.c);
  const Planes planes(layout);
  planes.run<Moments>([&](int64_t c, int64_t block) { return block_moments(x, planes, c, block); },
                      [&](int64_t c, const Moments& moments) { batch[c] = moments; }, [](int64_t, int64_t) {});
  return batch;
}

template <class T>
std::vector<Moments> normalize_by_batch(const Inputs<T>& in, Affine<arithmetic<T>>& affine,
                                        Statistics<arithmetic<T>> statistics, double eps, T* y) {
  std::vector<Moments> batch(in.layout.c);
  const auto settle = [&](int64_t c, const Moments& moments) {
    batch[c] = moments;
    statistics.set(c, moments.mean, moments.variance(), eps);
    affine.set(c, statistics);
  };
  with_activation(in.activation, [&](auto act) {
    measure_and_apply(in.x, in.layout, affine.features, settle, Forward<T, decltype(act)>{in.x, in.extra, y});
  });
  return batch;
}

template <class T> void normalize(const Inputs<T>& in, const Affine<arithmetic<T>>& affine, T* y) {
  with_activation(in.activation, [&](auto act) {
    apply_everywhere(in.layout, affine.features, Forward<T, decltype(act)>{in.x, in.extra, y});
  });
}

template <class T> bool recover(const Inputs<T>& in, const Affine<arithmetic<T>>& affine, T* x) {
  bool invertible = false;
  with_activation(in.activation, [&](auto act) {
    if constexpr (decltype(act)::invertible) {
      apply_everywhere(in.layout, affine.features, Inverse<T, decltype(act)>{in.x, x});
      invertible = true;
    }
  });
  return invertible;
}

template <class T>
void backward(const Inputs<T>& in, const T* dy, Affine<arithmetic<T>>& affine, Statistics<arithmetic<T>> statistics,
              const Gradients<T>& out) {
  const auto settle = [&](int64_t c, const Pair& sums) {
    const double dgamma = (sums.second - statistics.rest[c] * sums.first) * statistics.inv_std[c];
    out.dgamma[c] = arithmetic<T>(dgamma);
    out.dbeta[c] = arithmetic<T>(sums.first);
    affine.set_backward(c, statistics, dgamma, sums.first, in.layout.values());
  };
  with_activation(in.activation, [&](auto act) {
    const Gradient<T, decltype(act)> gradient{in.x, dy, in.extra, out.dx, out.dz, out.constant};
    sum_and_apply(gradient, in.layout, affine.features, settle, out.dx && !out.constant);
  });
}

template <class T> void backward_apply(const Inputs<T>& in, const T* dy, const Affine<arithmetic<T>>& affine, T* dx) {
  with_activation(in.activation, [&](auto act) {
    apply_everywhere(in.layout, affine.features,
                     Gradient<T, decltype(act)>{in.x, dy, in.extra, dx, nullptr, false});
  });
}

using Type = STEADYNORM_TYPE;
template std::vector<Moments> measure(const Layout&, const Type*);
template std::vector<Moments> normalize_by_batch(const Inputs<Type>&, Affine<arithmetic<Type>>&,
                                                 Statistics<arithmetic<Type>>, double, Type*);
template void normalize(const Inputs<Type>&, const Affine<arithmetic<Type>>&, Type*);
template bool recover(const Inputs<Type>&, const Affine<arithmetic<Type>>&, Type*);
template void backward(const Inputs<Type>&, const Type*, Affine<arithmetic<Type>>&, Statistics<arithmetic<Type>>,
                       const Gradients<Type>&);
template void backward_apply(const Inputs<Type>&, const Type*, const Affine<arithmetic<Type>>&, Type*);

}  // namespace steadynorm
