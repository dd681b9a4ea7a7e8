// Vectors by the compiler's own extension (GCC, Clang): as wide as the processor has them, and narrower at a row's end.
//
// Written out rather than left to the vectorizer: sums are then in the same order whatever the compiler, and no flag
// is needed that lets it reorder floating-point operations.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace steadynorm {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

struct bfloat16 {
  uint16_t bits;
};

// A: what a storage type T is computed in.
template <class T> struct Arithmetic {
  using type = T;
};
template <> struct Arithmetic<bfloat16> {
  using type = float;
};
template <class T> using arithmetic = typename Arithmetic<T>::type;

template <class A> struct Integer;
template <> struct Integer<float> {
  using type = int32_t;
};
template <> struct Integer<double> {
  using type = int64_t;
};
template <class A> using integer = typename Integer<A>::type;

template <class A, int N> struct Vector {
  typedef A type __attribute__((vector_size(sizeof(A) * N)));
};
template <class A, int N> using vec = typename Vector<A, N>::type;
template <class A, int N> using ivec = vec<integer<A>, N>;

template <class A> constexpr int width = vector_bytes / sizeof(A);

template <int N> struct Lanes {
  static constexpr int count = N;
};

// A function by reference: one indirect call a block of work, and one instance of what calls it.
template <class Signature> class Callable;
template <class R, class... Arguments> class Callable<R(Arguments...)> {
  const void* self;
  R (*invoke)(const void*, Arguments...);

 public:
  template <class F>
  Callable(const F& f)
      : self(&f),
        invoke([](const void* p, Arguments... arguments) -> R { return (*static_cast<const F*>(p))(arguments...); }) {}
  R operator()(Arguments... arguments) const { return invoke(self, arguments...); }
};

#define STEADYNORM_INLINE inline __attribute__((always_inline))
#define STEADYNORM_LAMBDA __attribute__((always_inline))
#define STEADYNORM_KERNEL __attribute__((noinline))
#define STEADYNORM_UNROLL _Pragma("GCC unroll 8")  // of what else would not stay in registers

// Call f(Lanes<N>, i) for the positions [i, i + N) that make up [0, n).
template <class A, class F> STEADYNORM_INLINE void sweep(int64_t n, F&& f) {
  constexpr int W = width<A>;
  int64_t i = 0;
  for (; i + W <= n; i += W) f(Lanes<W>{}, i);
  if constexpr (W > 8)
    for (; i + 4 <= n; i += 4) f(Lanes<4>{}, i);
  for (; i < n; ++i) f(Lanes<1>{}, i);
}

template <int N, class T> inline vec<arithmetic<T>, N> load(const T* p) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    vec<uint16_t, N> half;
    std::memcpy(&half, p, sizeof half);
    return (vec<float, N>)(__builtin_convertvector(half, vec<uint32_t, N>) << 16);
  } else {
    vec<T, N> v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
}

// Ask for the line of memory at p; it need not be there.
template <class T> STEADYNORM_INLINE void fetch(const T* p) { __builtin_prefetch(p); }

// To bfloat16 it rounds to the nearest, ties to even; a NaN stays one, whatever its last bits.
template <int N, class T> inline void store(T* p, vec<arithmetic<T>, N> v) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    auto bits = (vec<uint32_t, N>)v;
    auto rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    auto half = __builtin_convertvector(v == v ? rounded : vec<uint32_t, N>{} + 0x7fc0u, vec<uint16_t, N>);
    std::memcpy(p, &half, sizeof half);
  } else {
    std::memcpy(p, &v, sizeof v);
  }
}

constexpr int64_t line_bytes = 64;  // of memory, as it is cached

// Store, or stream past the caches, which reads no line before it is written: whole vectors only, aligned.
template <int N, class T> STEADYNORM_INLINE void put(T* p, vec<arithmetic<T>, N> v, bool streams) {
  if constexpr (std::is_same_v<T, arithmetic<T>> && N == width<T>) {
    if (streams) {
#if defined(__clang__)
      return __builtin_nontemporal_store(v, (vec<T, N>*)p);
#elif defined(__AVX512F__)
      if constexpr (sizeof(T) == 4)
        return __builtin_ia32_movntps512(p, v);
      else
        return __builtin_ia32_movntpd512(p, v);
#elif defined(__AVX__)
      if constexpr (sizeof(T) == 4)
        return __builtin_ia32_movntps256(p, v);
      else
        return __builtin_ia32_movntpd256(p, v);
#endif
    }
  }
  store<N>(p, v);
}

// From here on other threads see what was streamed.
inline void drain() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

// How many bytes are left of the line at p, if it has begun.
inline int64_t until_line(const void* p) { return -reinterpret_cast<uintptr_t>(p) % line_bytes; }

template <class A, int N> inline vec<A, N> broadcast(A a) { return a - vec<A, N>{}; }  // a + 0 would lose −0

// Halves upon halves: one lane after the other would wait for each.
template <class A, int N> inline A horizontal_sum(vec<A, N> v) {
  if constexpr (N == 1)
    return v[0];
  else {
    vec<A, N / 2> halves[2];
    std::memcpy(halves, &v, sizeof v);
    return horizontal_sum<A, N / 2>(halves[0] + halves[1]);
  }
}

// K sums over [0, n), kept in U vectors each, so that additions need not wait for each other.
template <class A, int K, int U> struct Sums {
  vec<A, width<A>> wide[K][U] = {};
  vec<A, 4> four[K] = {};
  A one[K] = {};

  // Add f(Lanes<N>, i, v), which fills v[0], …, v[K - 1], for the positions that make up [0, n).
  template <class F> STEADYNORM_INLINE void add(int64_t n, F&& f) {
    constexpr int W = width<A>;
    int64_t i = 0;
    vec<A, W> v[K];
    for (; i + U * W <= n; i += U * W) {
      STEADYNORM_UNROLL
      for (int u = 0; u < U; ++u) {
        f(Lanes<W>{}, i + u * W, v);
        STEADYNORM_UNROLL
        for (int k = 0; k < K; ++k) wide[k][u] += v[k];
      }
    }
    if constexpr (U > 1)
      for (; i + W <= n; i += W) {
        f(Lanes<W>{}, i, v);
        STEADYNORM_UNROLL
        for (int k = 0; k < K; ++k) wide[k][0] += v[k];
      }
    vec<A, 4> w[K];
    if constexpr (W > 8)
      for (; i + 4 <= n; i += 4) {
        f(Lanes<4>{}, i, w);
        STEADYNORM_UNROLL
        for (int k = 0; k < K; ++k) four[k] += w[k];
      }
    vec<A, 1> s[K];
    for (; i < n; ++i) {
      f(Lanes<1>{}, i, s);
      STEADYNORM_UNROLL
      for (int k = 0; k < K; ++k) one[k] += s[k][0];
    }
  }

  STEADYNORM_INLINE A total(int k) const {
    auto sum = wide[k][0];
    STEADYNORM_UNROLL
    for (int u = 1; u < U; ++u) sum += wide[k][u];
    return horizontal_sum<A, width<A>>(sum) + horizontal_sum<A, 4>(four[k]) + one[k];
  }
};

}  // namespace steadynorm
