// Average ℓp norms of each feature, p = 1 or ∞, around 0 or the mean, and their part in the gradient.
//
// f(v) is what the norm's slope depends on: the sign of v for p = 1; for p = ∞ that of the largest ones, else 0.
#pragma once

#include <limits>

#include "moments.h"

namespace steadynorm {

template <class A> STEADYNORM_INLINE A sign(A v) { return A(v > 0) - A(v < 0); }

template <class A> STEADYNORM_INLINE A magnitude(A v) { return v < 0 ? -v : v; }

// What is put together over a feature's values.
struct Norm {
  double total = 0, largest = 0, signs = 0, counted = 0;  // Σ|v|, max|v|, Σ f(v), Σ|f(v)|
  void merge(const Norm& b) {
    total += b.total, signs += b.signs, counted += b.counted;
    largest = std::max(largest, b.largest);
  }
};

// Of n values around a centre; with `ties` Σ f and Σ|f| of p = ∞, given the largest one.
template <class A> STEADYNORM_KERNEL Norm norm_of(const A* x, int64_t n, A centre, bool infinite, bool ties, A largest) {
  A total = 0, most = 0, signs = 0, counted = 0;
  if (ties) {
#pragma omp simd reduction(+ : signs, counted)
    for (int64_t i = 0; i < n; ++i) {
      const A v = x[i] - centre, is_largest = magnitude(v) == largest;
      counted += is_largest, signs += is_largest * sign(v);
    }
  } else if (infinite) {
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; ++i) most = std::max(most, magnitude(x[i] - centre));
  } else {
#pragma omp simd reduction(+ : total, signs)
    for (int64_t i = 0; i < n; ++i) {
      const A v = x[i] - centre;
      total += magnitude(v), signs += sign(v);
    }
    counted = n;
  }
  return {total, most, signs, counted};
}

// The same of `width` neighbouring features, in n rows; the arrays are in the order of Norm's fields.
template <class A>
STEADYNORM_KERNEL void norms_of_rows(const A* x, int64_t n, int64_t width, const A* centre, bool infinite, bool ties,
                                     const A* largest, double* fields) {
  double *total = fields, *most = total + width, *signs = most + width, *counted = signs + width;
  for (int64_t row = 0; row < n; ++row, x += width) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      const A v = x[c] - centre[c], size = magnitude(v);
      const A counts = ties ? A(size == largest[c]) : A(1);
      total[c] += size;
      most[c] = most[c] < size ? double(size) : most[c];
      signs[c] += counts * sign(v), counted[c] += counts;
    }
  }
}

// For each feature, whose moments come first: its numbers are then in the cache again.
template <class T> struct Norms {
  const Layout& layout;
  const T* x;
  bool infinite, centred;
  std::vector<Moments> moments;
  std::vector<T> centre, largest;
  std::vector<Norm> found;

  Norms(const Layout& of, const T* numbers, bool is_infinite, bool is_centred)
      : layout(of), x(numbers), infinite(is_infinite), centred(is_centred), moments(of.c), centre(of.c), largest(of.c),
        found(of.c) {
    if (layout.rows) {
      moments = row_moments(x, Rows(layout));
      for (int64_t c = 0; c < layout.c; ++c) settle(c, moments[c]);
      by_rows(false);
    } else {
      by_planes(false);
    }
    if (!infinite) return;
    for (int64_t c = 0; c < layout.c; ++c) largest[c] = T(found[c].largest);
    layout.rows ? by_rows(true) : by_planes(true);
  }

 private:
  void settle(int64_t c, const Moments& of) {
    moments[c] = of;
    centre[c] = centred ? T(of.mean) : T(0);
  }

  void by_planes(bool ties) {
    const Planes planes(layout);
    std::vector<Norm> parts(layout.c * planes.blocks);
    const auto norm = [&](int64_t c, int64_t block) {
      planes.runs(c, block, [&](int64_t offset, int64_t n) {
        parts[c * planes.blocks + block].merge(norm_of(x + offset, n, centre[c], infinite, ties, largest[c]));
      });
    };
    planes.run<Moments>([&](int64_t c, int64_t block) { return ties ? Moments{} : block_moments(x, planes, c, block); },
                        [&](int64_t c, const Moments& of) {
                          if (!ties) settle(c, of);
                        },
                        norm);
    for (int64_t c = 0; c < layout.c; ++c) {
      Norm whole;
      for (int64_t block = 0; block < planes.blocks; ++block) whole.merge(parts[c * planes.blocks + block]);
      put(c, whole, ties);
    }
  }

  void by_rows(bool ties) {
    const Rows rows(layout);
    std::vector<T> centres, most;
    for (int64_t k = 0; k < rows.fold; ++k) {
      centres.insert(centres.end(), centre.begin(), centre.end());
      most.insert(most.end(), largest.begin(), largest.end());
    }
    std::vector<std::vector<double>> parts(rows.groups + 1);
    rows.each_group(false, [&](int64_t group, int64_t start, int64_t n, int64_t width) {
      parts[group].resize(4 * width);
      norms_of_rows(x + start, n, width, centres.data(), infinite, ties, most.data(), parts[group].data());
    });
    std::vector<Norm> whole(layout.c);
    for (const auto& part : parts)
      for (int64_t c = 0, width = part.size() / 4; c < width; ++c)
        whole[c % layout.c].merge({part[c], part[width + c], part[2 * width + c], part[3 * width + c]});
    for (int64_t c = 0; c < layout.c; ++c) put(c, whole[c], ties);
  }

  void put(int64_t c, Norm norm, bool ties) {
    if (ties) norm.largest = found[c].largest;
    found[c] = norm;
  }
};

// What the norm adds to dx: offset + slope f(x − centre), beside what x has with μ and s held.
//
// ∂ℓ/∂s² = −γ dγ / (2 (s² + ε)), and ∂s/∂x = (f(v) − Σ f(v) / n) / Σ|f|, without the sum if v is x and not x − μ.
template <class T> struct NormGradient {
  bool infinite;
  std::vector<T> centre, offset, slope, largest;

  NormGradient(int64_t c, bool is_infinite) : infinite(is_infinite), centre(c), offset(c), slope(c), largest(c) {}

  void set(int64_t c, double mean, bool centred, const Norm& norm, double gamma_by_std, double inv_std, double dgamma,
           double dbeta, double n) {
    const double size = infinite ? norm.largest : norm.total / n;
    const double of_sign = -gamma_by_std * inv_std * dgamma * size / norm.counted;
    centre[c] = centred ? T(mean) : T(0);
    largest[c] = T(size);
    slope[c] = T(of_sign);
    offset[c] = T(-gamma_by_std * dbeta / n - (centred ? of_sign * norm.signs / n : 0));
  }

  void add_to(T* dx, const T* x, const Layout& layout) const {
    const int64_t s = layout.s, c = layout.c;
    if (!layout.rows) {
      parallel_for(0, layout.n * c, 1 + grain / std::max<int64_t>(1, s), [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) add_to_plane(dx + k * s, x + k * s, s, k % c);
      });
    } else {
      parallel_for(0, layout.n, 1 + grain / std::max<int64_t>(1, c), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) add_to_row(dx + row * c, x + row * c, c);
      });
    }
  }

 private:
  static STEADYNORM_INLINE T f(T v, bool infinite, T largest) {
    return !infinite || magnitude(v) == largest ? sign(v) : T(0);
  }

  STEADYNORM_KERNEL void add_to_plane(T* dx, const T* x, int64_t n, int64_t c) const {
    const T middle = centre[c], most = largest[c], at_0 = offset[c], by_f = slope[c];
    const bool only_largest = infinite;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] += at_0 + by_f * f(x[i] - middle, only_largest, most);
  }

  STEADYNORM_KERNEL void add_to_row(T* dx, const T* x, int64_t width) const {
    const T *middle = centre.data(), *most = largest.data(), *at_0 = offset.data(), *by_f = slope.data();
    const bool only_largest = infinite;
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) dx[c] += at_0[c] + by_f[c] * f(x[c] - middle[c], only_largest, most[c]);
  }
};

}  // namespace steadynorm
