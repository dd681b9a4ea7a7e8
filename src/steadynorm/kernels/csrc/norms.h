// Average ℓp norms of each feature, p = 1 or ∞, around a centre, and their part in the gradient.
//
// f(v) is what the norm's slope depends on: the sign of v for p = 1; for p = ∞ that of the largest ones, else 0.
#pragma once

#include <limits>

#include "layout.h"

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

template <class T>
std::vector<Norm> norms_around(const Layout& layout, const T* x, const T* centre, bool infinite, bool ties,
                               const T* largest) {
  std::vector<Norm> norms(layout.c);
  if (!layout.rows) {
    const Planes planes(layout);
    planes.run<Norm>(
        [&](int64_t c, int64_t block) {
          Norm norm;
          planes.runs(c, block, [&](int64_t offset, int64_t n) {
            norm.merge(norm_of(x + offset, n, centre[c], infinite, ties, ties ? largest[c] : T(0)));
          });
          return norm;
        },
        [&](int64_t c, const Norm& norm) { norms[c] = norm; }, [](int64_t, int64_t) {});
    return norms;
  }
  const Rows rows(layout);
  const auto repeated = [&](const T* numbers) {
    std::vector<T> wide;
    for (int64_t k = 0; k < rows.fold; ++k) wide.insert(wide.end(), numbers, numbers + layout.c);
    return wide;
  };
  const auto centres = repeated(centre), most = repeated(ties ? largest : centre);
  std::vector<std::vector<double>> parts(rows.groups + 1);
  rows.each_group(false, [&](int64_t group, int64_t start, int64_t n, int64_t width) {
    parts[group].resize(4 * width);
    norms_of_rows(x + start, n, width, centres.data(), infinite, ties, most.data(), parts[group].data());
  });
  for (const auto& part : parts)
    for (int64_t c = 0, width = part.size() / 4; c < width; ++c)
      norms[c % layout.c].merge({part[c], part[width + c], part[2 * width + c], part[3 * width + c]});
  return norms;
}

template <class T>
std::vector<Norm> norms(const Layout& layout, const T* x, const std::vector<T>& centre, bool infinite) {
  auto found = norms_around(layout, x, centre.data(), infinite, false, static_cast<const T*>(nullptr));
  if (!infinite) return found;
  std::vector<T> largest;
  for (const Norm& norm : found) largest.push_back(T(norm.largest));
  auto ties = norms_around(layout, x, centre.data(), infinite, true, static_cast<const T*>(largest.data()));
  for (int64_t c = 0; c < layout.c; ++c) ties[c].largest = found[c].largest;
  return ties;
}

// What is added to dx: offset + slope f(x − centre).
template <class T> struct NormGradient {
  std::vector<T> centre, offset, slope, largest;
  bool infinite;
};

template <class T>
STEADYNORM_KERNEL void add_signs(const T* x, const T* dx, T* to, int64_t n, T centre, T offset, T slope, bool infinite,
                                 T largest) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i] - centre, f = !infinite || magnitude(v) == largest ? sign(v) : T(0);
    to[i] = dx[i] + (offset + slope * f);
  }
}

template <class T> void add_norm_gradient(const Layout& layout, const T* x, const NormGradient<T>& of, const T* dx, T* to) {
  const bool infinite = of.infinite;
  if (!layout.rows) {
    const int64_t s = layout.s, c = layout.c;
    parallel_for(0, layout.n * c, 1 + grain / std::max<int64_t>(1, s), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k)
        add_signs(x + k * s, dx + k * s, to + k * s, s, of.centre[k % c], of.offset[k % c], of.slope[k % c], infinite,
                  of.largest[k % c]);
    });
    return;
  }
  const int64_t c = layout.c;
  parallel_for(0, layout.n, 1 + grain / std::max<int64_t>(1, c), [&](int64_t begin, int64_t end) {
    const T *centre = of.centre.data(), *offset = of.offset.data(), *slope = of.slope.data(),
            *largest = of.largest.data();
    for (int64_t row = begin; row < end; ++row) {
      const T *of_x = x + row * c, *of_dx = dx + row * c;
      T* result = to + row * c;
#pragma omp simd
      for (int64_t k = 0; k < c; ++k) {
        const T v = of_x[k] - centre[k], f = !infinite || magnitude(v) == largest[k] ? sign(v) : T(0);
        result[k] = of_dx[k] + (offset[k] + slope[k] * f);
      }
    }
  });
}

}  // namespace steadynorm
