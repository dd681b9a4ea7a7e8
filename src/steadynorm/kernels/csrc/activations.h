// The activations: value(z), and slope_times(z, dy), the gradient with respect to z of what is given for the output.
//
// Where only the sign of z counts, the output may be given for it (from_output). `cheap` is without an exponential.
// What loses nothing has an inverse.
// Exponentials are computed here, since the compiler's vector library needs flags that drop NaN and denormals.
#pragma once

#include "simd.h"

namespace steadynorm {

template <class A> struct Constants;

template <> struct Constants<float> {
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float least_exponent = -104.f, round = 12582912.f;  // 1.5 · 2^23
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.4286068203094173e-06f;
  // (eʳ − 1 − r) / r² on |r| ≤ ½ ln 2, to 1e-9
  static constexpr float exponential[] = {0.5000000013f,   0.1666666668f, 0.04166646493f,
                                          0.008333310925f, 0.001393365f,  0.0001989099082f};
  // erfcx(t/√2) / (2 − 2w) in w = 1 − 8/(t + 4), on t ≥ 0, to 3e-9
  static constexpr float mills[] = {0.0944106413f,    -0.07598704957f,   0.04839217489f,    -0.02331585075f,
                                    0.007549575604f,  -0.000938986496f,  -0.0004349788595f, 0.0001954171355f,
                                    1.668878028e-05f, -1.964019435e-05f, -2.091644214e-07f};
};

template <> struct Constants<double> {
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double least_exponent = -746., round = 6755399441055744.;  // 1.5 · 2^52
  static constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  // the same to 1e-18, and to 1e-17
  static constexpr double exponential[] = {0.5,
                                           0.16666666666666671,
                                           0.04166666666666667,
                                           0.0083333333333261351,
                                           0.0013888888888883748,
                                           0.00019841269874820625,
                                           2.4801587325547741e-5,
                                           2.7557255400206424e-6,
                                           2.7557273643110295e-7,
                                           2.5105217004720745e-8,
                                           2.0914686968086877e-9};
  static constexpr double mills[] = {
      0.094410641301968931,  -0.075987080246486516,   0.048392175092778365,    -0.023315232244956472,
      0.00754957186129351,   -0.00094252362087457788, -0.00043496154455634721, 0.0002038523078473711,
      1.6668025943942147e-5, -2.8886873343568552e-5,  -2.3845856416505943e-7,  4.3931235164503963e-6,
      8.932253240252053e-8,  -7.401611777642697e-7,   -7.8114271011481125e-8,  1.2802961235684028e-7,
      3.3085570158384879e-8, -1.9895549239440879e-8,  -9.8433680383326908e-9,  2.1773906471834378e-9,
      2.0064928143981223e-9, -5.2218548040401188e-11, -2.1073102423837684e-10, -1.8670599410273338e-11};
};

template <class V, class A, int M> inline V polynomial(V r, const A (&c)[M]) {
  V p = V{} + c[M - 1];
#pragma GCC unroll 32
  for (int k = M - 2; k >= 0; --k) p = p * r + c[k];
  return p;
}

// eˣ = scale · (1 + part) for x ≤ 0, the scale a power of two given as a product, since alone it may be subnormal.
template <class A, int N> struct Exponential {
  using V = vec<A, N>;
  using I = ivec<A, N>;
  using C = Constants<A>;
  V part, half_scale, other_half;

  explicit Exponential(V x) {
    x = x < C::least_exponent ? V{} + C::least_exponent : x;
    V shifted = x * A(1.4426950408889634) + C::round;  // its last bits are the integer nearest to x / ln 2
    V n = shifted - C::round;
    V r = (x - n * C::ln2_high) - n * C::ln2_low;
    part = r + r * r * polynomial(r, C::exponential);
    I exponent = (I)shifted - (I)(V{} + C::round);
    I half = exponent >> 1;
    half_scale = (V)((half + C::bias) << C::mantissa);
    other_half = (V)((exponent - half + C::bias) << C::mantissa);
  }

  V value() const { return (half_scale + half_scale * part) * other_half; }
  V minus_one() const {
    V scale = half_scale * other_half;
    return scale * part + (scale - A(1));
  }
};

template <class A, int N> inline vec<A, N> magnitude(vec<A, N> v) { return v < A(0) ? -v : v; }

// 1/(1 + e⁻ᶻ), and what it lacks to 1 without the rounding of 1 − σ.
template <class A, int N> struct Logistic {
  vec<A, N> value, rest;

  explicit Logistic(vec<A, N> z) {
    auto e = Exponential<A, N>(-magnitude<A, N>(z)).value();
    auto upper = A(1) / (A(1) + e), lower = e * upper;
    value = z < A(0) ? lower : upper;
    rest = z < A(0) ? upper : lower;
  }
};

struct Identity {
  static constexpr bool from_output = false, cheap = true, invertible = true;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) { return z; }
  template <class A, int N> static vec<A, N> inverse(vec<A, N> y) { return y; }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N>, vec<A, N> dy) { return dy; }
};

struct Relu {
  static constexpr bool from_output = true, cheap = true, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) { return z <= A(0) ? vec<A, N>{} : z; }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    return z <= A(0) ? vec<A, N>{} : dy;
  }
};

struct Relu6 {  // in bfloat16 an output of 6 may be a z of less
  static constexpr bool from_output = false, cheap = true, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) {
    auto positive = Relu::value<A, N>(z);
    return positive >= A(6) ? vec<A, N>{} + A(6) : positive;
  }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    return z >= A(6) ? vec<A, N>{} : Relu::slope_times<A, N>(z, dy);
  }
};

struct LeakyRelu {
  static constexpr bool from_output = true, cheap = true, invertible = true;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) { return z > A(0) ? z : z * A(0.01); }
  template <class A, int N> static vec<A, N> inverse(vec<A, N> y) { return y > A(0) ? y : y / A(0.01); }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    return z > A(0) ? dy : dy * A(0.01);
  }
};

struct Silu {
  static constexpr bool from_output = false, cheap = false, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) { return z * Logistic<A, N>(z).value; }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    const Logistic<A, N> s(z);
    return dy * (s.value * (A(1) + z * s.rest));
  }
};

// z Φ(z), Φ the normal distribution: Φ(−t) = exp(−t²/2) · ½ erfcx(t/√2).
struct Gelu {
  static constexpr bool from_output = false, cheap = false, invertible = false;
  template <class A, int N> static void distribution(vec<A, N> z, vec<A, N>& below, vec<A, N>& bell) {
    using V = vec<A, N>;
    V t = magnitude<A, N>(z);
    bell = Exponential<A, N>(t * t * A(-0.5)).value();
    V w = A(1) - A(8) / (t + A(4));
    V tail = bell * (polynomial(w, Constants<A>::mills) * (A(1) - w));
    below = z < A(0) ? tail : A(1) - tail;
  }
  template <class A, int N> static vec<A, N> value(vec<A, N> z) {
    vec<A, N> below, bell;
    distribution<A, N>(z, below, bell);
    return z * below;
  }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    vec<A, N> below, bell;
    distribution<A, N>(z, below, bell);
    return dy * (below + z * (bell * A(0.3989422804014327)));  // 1/√2π
  }
};

struct Sigmoid {
  static constexpr bool from_output = false, cheap = false, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) { return Logistic<A, N>(z).value; }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    const Logistic<A, N> s(z);
    return dy * (s.value * s.rest);
  }
};

struct Tanh {
  static constexpr bool from_output = false, cheap = false, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) {
    auto e = Exponential<A, N>(A(-2) * magnitude<A, N>(z)).minus_one();
    auto t = e / (A(2) + e);
    return z < A(0) ? t : -t;
  }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    auto y = value<A, N>(z);
    return dy * (A(1) - y * y);
  }
};

struct Hardswish {
  static constexpr bool from_output = false, cheap = true, invertible = false;
  template <class A, int N> static vec<A, N> value(vec<A, N> z) {
    auto gate = z + A(3);
    gate = gate < A(0) ? vec<A, N>{} : gate;
    gate = gate > A(6) ? vec<A, N>{} + A(6) : gate;
    return z * gate * A(1. / 6);
  }
  template <class A, int N> static vec<A, N> slope_times(vec<A, N> z, vec<A, N> dy) {
    auto inside = dy * (z * A(1. / 3) + A(0.5));
    auto upper = z > A(3) ? dy : inside;
    return z < A(-3) ? vec<A, N>{} : upper;
  }
};

// Call f with the activation of this number; the numbers are those of kernels/operators.py.
template <class F> inline void with_activation(int64_t number, F&& f) {
  switch (number) {
    case 1:
      return f(Relu{});
    case 2:
      return f(LeakyRelu{});
    case 3:
      return f(Silu{});
    case 4:
      return f(Gelu{});
    case 5:
      return f(Sigmoid{});
    case 6:
      return f(Tanh{});
    case 7:
      return f(Hardswish{});
    case 8:
      return f(Relu6{});
  }
  return f(Identity{});
}

}  // namespace steadynorm
