// What kernels.cpp computes for each storage type. It knows nothing of torch but its threads.
#pragma once

#include "statistics.h"

namespace steadynorm {

template <class T> struct Inputs {
  Layout layout;
  const T* x;
  const T* extra;  // forward: the residual; backward: what was saved of it; or null
  int64_t activation;

  // A part of them, which begins at the number `begin`.
  Inputs at(const Layout& part, int64_t begin) const {
    return {part, x + begin, extra ? extra + begin : nullptr, activation};
  }
};

// The moments of each feature.
template <class T> std::vector<Moments> measure(const Layout& layout, const T* x);

// y by the batch's own statistics, which are filled in; its moments are returned. y may be x.
template <class T>
std::vector<Moments> normalize_by_batch(const Inputs<T>& in, Affine<arithmetic<T>>& affine,
                                        Statistics<arithmetic<T>> statistics, double eps, T* y);

// y by the affine map as it stands.
template <class T> void normalize(const Inputs<T>& in, const Affine<arithmetic<T>>& affine, T* y);

// x from the y that the affine map, as it stands, made of it; false if the activation has no inverse.
template <class T> bool recover(const Inputs<T>& y, const Affine<arithmetic<T>>& affine, T* x);

template <class T> struct Gradients {
  T *dx, *dz;  // null if not asked for
  arithmetic<T>*dgamma, *dbeta;
  bool constant;  // the statistics do not depend on x
};

// dx, dz, dγ, dβ; the affine map stands.
template <class T>
void backward(const Inputs<T>& in, const T* dy, Affine<arithmetic<T>>& affine, Statistics<arithmetic<T>> statistics,
              const Gradients<T>& out);

// dx by the affine map and the backward map as they stand.
template <class T> void backward_apply(const Inputs<T>& in, const T* dy, const Affine<arithmetic<T>>& affine, T* dx);

// A matrix for each group of neighbouring features, in rows, or in columns where the layout has rows.
template <class A> struct Mixing {
  int64_t size;  // of a group
  std::vector<A> matrix, mean, shift;
};

// y = M (x − mean) + shift, and the residual and activation.
template <class T> void mix(const Inputs<T>& in, const Mixing<arithmetic<T>>& by, T* y);

}  // namespace steadynorm
