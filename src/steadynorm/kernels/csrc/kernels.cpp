// Forward and backward of batch norm, residual and activation, for the storage type STEADYNORM_TYPE.

#include "kernels.h"
#include "activations.h"
#include "mixing.h"

namespace steadynorm {

// y = activation((x − mean) · scale + shift + residual) in one place.
template <class T, class Act> struct Forward {
  using A = arithmetic<T>;
  const T *x, *residual;
  T* y;

  static constexpr bool cheap = Act::cheap;
  T* result() const { return y; }
  STEADYNORM_INLINE void ahead(int64_t i) const {
    fetch(x + i);
    if (residual) fetch(residual + i);
  }

  template <int N> STEADYNORM_INLINE void at(Lanes<N>, int64_t i, const Values<A, N>& v, bool streams) const {
    auto z = (load<N>(x + i) - v.mean) * v.scale + v.shift;
    if (residual) z += load<N>(residual + i);
    put<N>(y + i, Act::template value<A, N>(z), streams);
  }
};

// x = (activation⁻¹(y) − shift) / scale + mean in one place.
template <class T, class Act> struct Inverse {
  using A = arithmetic<T>;
  const T* y;
  T* x;

  static constexpr bool cheap = Act::cheap;
  T* result() const { return x; }
  STEADYNORM_INLINE void ahead(int64_t i) const { fetch(y + i); }

  template <int N> STEADYNORM_INLINE void at(Lanes<N>, int64_t i, const Values<A, N>& v, bool streams) const {
    const auto z = Act::template inverse<A, N>(load<N>(y + i));
    put<N>(x + i, (z - v.shift) / v.scale + v.mean, streams);
  }
};

// dz = activation'(z) · dy in one place, z being computed anew; `saved` is the residual, or the output if that tells.
template <class T, class Act> struct Gradient {
  using A = arithmetic<T>;
  const T *x, *dy, *saved;
  T *dx, *dz;
  static constexpr bool cheap = Act::cheap;
  static constexpr int sums_at_once = cheap ? 4 : 1;
  bool constant;  // the statistics do not depend on x, so that dx is known at once

  T* result() const { return dx; }
  STEADYNORM_INLINE void ahead(int64_t i) const {
    fetch(x + i), fetch(dy + i);
    if (saved) fetch(saved + i);
  }

  template <int N> STEADYNORM_INLINE vec<A, N> gradient(int64_t i, const Values<A, N>& v, vec<A, N> centred) const {
    const auto above = load<N>(dy + i);
    if constexpr (std::is_same_v<Act, Identity>)
      return above;
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
    const auto g = gradient<N>(i, v, centred);
    if (dz) store<N>(dz + i, g);
    if (dx && constant) store<N>(dx + i, g * v.scale);
    sums[0] = g;
    sums[1] = g * centred;
  }

  template <int N> STEADYNORM_INLINE void at(Lanes<N>, int64_t i, const Values<A, N>& v, bool streams) const {
    const auto centred = load<N>(x + i) - v.mean;
    // what bfloat16 rounded would not cancel against the sums
    const auto g = std::is_same_v<T, A> && dz ? load<N>(dz + i) : gradient<N>(i, v, centred);
    put<N>(dx + i, g * v.scale + (centred * v.slope + v.offset), streams);
  }
};

// What is done with every number: with a block of a feature, or with rows that start at `start`. Behind a virtual call,
// so that the way through memory is compiled once for all activations.
template <class A> struct Step {
  virtual void block(const Planes& planes, const Features<A>& features, int64_t channel, int64_t block) const = 0;
  virtual void group(const Features<A>& wide, int64_t start, int64_t rows, int64_t width) const = 0;
};

// f.at(lanes, i, values, streams) everywhere; what is large is streamed, if it lies so that it can be.
template <class A, class F> struct Each final : Step<A> {
  using T = std::remove_pointer_t<decltype(std::declval<F>().result())>;
  const F f;
  const bool streams;
  Each(const F& of, const Layout& layout) : f(of), streams(layout.streams_to(of.result(), F::cheap)) {}

  void block(const Planes& planes, const Features<A>& features, int64_t channel, int64_t block) const override {
    planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
      const Feature<A> feature = features.at(channel);  // copies, which no store can change: they stay in registers
      const F copy = f;
      const bool past = streams;
      if (past)  // up to the first whole line
        for (int64_t left = until_line(f.result() + offset) / sizeof(T); left > 0 && n > 0; --left, --n, ++offset)
          copy.at(Lanes<1>{}, offset, feature.template values<1>(), past);
      sweep<A>(n, [&](auto lanes, int64_t i) STEADYNORM_LAMBDA {
        copy.at(lanes, offset + i, feature.template values<decltype(lanes)::count>(), past);
      });
    });
    if (streams) drain();
  }

  void group(const Features<A>& wide, int64_t start, int64_t rows, int64_t width) const override {
    const F copy = f;
    const bool past = streams;
    const auto ahead = [&](int64_t i) STEADYNORM_LAMBDA { copy.ahead(start + i); };
    each_rows<T>(rows, width, past, ahead, [&](auto lanes, int64_t first, int64_t last, int64_t c) STEADYNORM_LAMBDA {
      const auto values = wide.template along<decltype(lanes)::count>(c);
      for (int64_t row = first; row < last; ++row) copy.at(lanes, start + row * width + c, values, past);
    });
    if (streams) drain();
  }
};

template <class A> void apply_rows(const Rows& layout, const Features<A>& features, const Step<A>& step) {
  const Features<A> wide = features.repeated(layout.fold);
  layout.each_group(true,
                    [&](int64_t, int64_t start, int64_t rows, int64_t width) { step.group(wide, start, rows, width); });
}

struct Nothing {
  void merge(const Nothing&) {}
};

template <class A> void apply_everywhere(const Layout& layout, const Features<A>& features, const Step<A>& step) {
  if (layout.rows) return apply_rows(Rows(layout), features, step);
  const Planes planes(layout);
  planes.run<Nothing>([](int64_t, int64_t) { return Nothing{}; }, [](int64_t, const Nothing&) {},
                      [&](int64_t channel, int64_t block) { step.block(planes, features, channel, block); });
}

// Statistics of every feature; settle(c, Moments) as they become known, then the step everywhere.
template <class T>
void measure_and_apply(const T* x, const Layout& layout, const Features<arithmetic<T>>& features,
                       Callable<void(int64_t, const Moments&)> settle, const Step<arithmetic<T>>& step) {
  if (layout.rows) {
    const Rows rows(layout);
    const auto moments = row_moments(x, rows);
    for (int64_t c = 0; c < layout.c; ++c) settle(c, moments[c]);
    return apply_rows(rows, features, step);
  }
  const Planes planes(layout);
  planes.run<Moments>([&](int64_t c, int64_t block) { return block_moments(x, planes, c, block); }, settle,
                      [&](int64_t c, int64_t block) { step.block(planes, features, c, block); });
}

struct Pair {
  double first = 0, second = 0;
  void merge(const Pair& b) { first += b.first, second += b.second; }
};

// The two sums of the backward pass, of a block of a feature, or added to those of each column of some rows.
template <class A> struct Summed {
  virtual Pair block(const Planes& planes, const Features<A>& features, int64_t channel, int64_t block) const = 0;
  virtual void group(const Features<A>& wide, int64_t start, int64_t rows, int64_t width, A* sums) const = 0;
};

template <class T, class Act> struct GradientSums final : Summed<arithmetic<T>> {
  using A = arithmetic<T>;
  const Gradient<T, Act> gradient;
  const bool is_large;
  GradientSums(const Gradient<T, Act>& of, const Layout& layout) : gradient(of), is_large(layout.is_large()) {}

  Pair block(const Planes& planes, const Features<A>& features, int64_t channel, int64_t block) const override {
    Sums<A, 2, Gradient<T, Act>::sums_at_once> sums;
    planes.runs(channel, block, [&](int64_t offset, int64_t n) STEADYNORM_LAMBDA {
      const auto feature = features.at(channel);
      const Gradient<T, Act> copy = gradient;
      sums.add(n, [&](auto lanes, int64_t i, auto* v) STEADYNORM_LAMBDA {
        copy.measure(lanes, offset + i, feature.template values<decltype(lanes)::count>(), v);
      });
    });
    return {double(sums.total(0)), double(sums.total(1))};
  }

  void group(const Features<A>& wide, int64_t start, int64_t rows, int64_t width, A* sums) const override {
    const Gradient<T, Act> copy = gradient;
    const auto values = [&](auto lanes, int64_t c) { return wide.template along<decltype(lanes)::count>(c); };
    const auto ahead = [&](int64_t i) STEADYNORM_LAMBDA { copy.ahead(start + i); };
    const auto measure = [&](auto lanes, int64_t i, const auto& v, auto* terms)
                             STEADYNORM_LAMBDA { copy.measure(lanes, start + i, v, terms); };
    sum_rows<2, T>(rows, width, sums, is_large, ahead, values, measure);
  }
};

// The sums of all columns of a group of rows: 64 rows at a time in A, these in double.
template <class A>
std::vector<double> group_sums(const Summed<A>& summed, const Features<A>& wide, int64_t start, int64_t rows,
                               int64_t width) {
  std::vector<double> total(2 * width);
  std::vector<A> sums(2 * width);
  for (int64_t row = 0; row < rows; row += 64) {
    std::fill(sums.begin(), sums.end(), A(0));
    summed.group(wide, start + row * width, std::min<int64_t>(64, rows - row), width, sums.data());
    double* totals = total.data();
    const A* parts = sums.data();
#pragma omp simd
    for (int64_t c = 0; c < 2 * width; ++c) totals[c] += parts[c];
  }
  return total;
}

template <class A>
std::vector<Pair> row_sums(const Summed<A>& summed, const Rows& layout, const Features<A>& features) {
  const Features<A> wide = features.repeated(layout.fold);
  std::vector<std::vector<double>> parts(layout.groups + 1);
  layout.each_group(false, [&](int64_t group, int64_t start, int64_t rows, int64_t width) {
    parts[group] = group_sums(summed, wide, start, rows, width);
  });
  std::vector<Pair> pairs(layout.c);
  for (const auto& part : parts)
    for (int64_t c = 0; c < int64_t(part.size()) / 2; ++c)
      pairs[c % layout.c].merge({part[c], part[part.size() / 2 + c]});
  return pairs;
}

// The sums of every feature; settle(c, Pair) as they become known, then, if there is one, the step everywhere.
template <class A>
void sum_and_apply(const Summed<A>& summed, const Layout& layout, const Features<A>& features,
                   Callable<void(int64_t, const Pair&)> settle, const Step<A>* step) {
  if (layout.rows) {
    const Rows rows(layout);
    const auto sums = row_sums(summed, rows, features);
    for (int64_t c = 0; c < layout.c; ++c) settle(c, sums[c]);
    if (step) apply_rows(rows, features, *step);
    return;
  }
  const Planes planes(layout);
  planes.run<Pair>([&](int64_t c, int64_t block) { return summed.block(planes, features, c, block); }, settle,
                   [&](int64_t c, int64_t block) {
                     if (step) step->block(planes, features, c, block);
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
    const Each<arithmetic<T>, Forward<T, decltype(act)>> step({in.x, in.extra, y}, in.layout);
    measure_and_apply<T>(in.x, in.layout, affine.features, settle, step);
  });
  return batch;
}

template <class T> void normalize(const Inputs<T>& in, const Affine<arithmetic<T>>& affine, T* y) {
  with_activation(in.activation, [&](auto act) {
    const Each<arithmetic<T>, Forward<T, decltype(act)>> step({in.x, in.extra, y}, in.layout);
    apply_everywhere<arithmetic<T>>(in.layout, affine.features, step);
  });
}

template <class T> bool recover(const Inputs<T>& in, const Affine<arithmetic<T>>& affine, T* x) {
  bool invertible = false;
  with_activation(in.activation, [&](auto act) {
    if constexpr (decltype(act)::invertible) {
      const Each<arithmetic<T>, Inverse<T, decltype(act)>> step({in.x, x}, in.layout);
      apply_everywhere<arithmetic<T>>(in.layout, affine.features, step);
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
    const GradientSums<T, decltype(act)> sums(gradient, in.layout);
    const Each<arithmetic<T>, Gradient<T, decltype(act)>> step(gradient, in.layout);
    sum_and_apply<arithmetic<T>>(sums, in.layout, affine.features, settle, out.dx && !out.constant ? &step : nullptr);
  });
}

template <class T> void backward_apply(const Inputs<T>& in, const T* dy, const Affine<arithmetic<T>>& affine, T* dx) {
  with_activation(in.activation, [&](auto act) {
    const Each<arithmetic<T>, Gradient<T, decltype(act)>> step({in.x, dy, in.extra, dx, nullptr, false}, in.layout);
    apply_everywhere<arithmetic<T>>(in.layout, affine.features, step);
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
template void mix(const Inputs<Type>&, const Mixing<arithmetic<Type>>&, Type*);

}  // namespace steadynorm
