// What is known of each feature: its statistics, the affine map they make, and the running averages.
#pragma once

#include <cmath>
#include <optional>

#include "moments.h"

namespace steadynorm {

// The (3, C) numbers of a tensor. The mean is given in two parts, so that data far from 0 lose nothing: mean + rest.
template <class A> struct Statistics {
  A *mean, *rest, *inv_std;

  Statistics(A* numbers, int64_t c) : mean(numbers), rest(mean + c), inv_std(rest + c) {}

  void set(int64_t c, double mean_of, double var_of, double eps) {
    mean[c] = A(mean_of);
    rest[c] = A(mean_of - mean[c]);
    inv_std[c] = A(1 / std::sqrt(var_of + eps));
  }
};

// γ, β and the map (x − mean) · scale + shift that they and the statistics make.
template <class A> struct Affine {
  std::vector<A> gamma, beta;
  Features<A> features;

  Affine(std::vector<A> of_gamma, std::vector<A> of_beta)
      : gamma(std::move(of_gamma)), beta(std::move(of_beta)), features(gamma.size()) {}

  void set(int64_t c, const Statistics<A>& of) {
    const A scale = gamma[c] * of.inv_std[c];
    features.mean()[c] = of.mean[c];
    features.scale()[c] = scale;
    features.shift()[c] = beta[c] - of.rest[c] * scale;
  }

  void set_all(const Statistics<A>& of) {
    for (size_t c = 0; c < gamma.size(); ++c) set(c, of);
  }

  // dx = scale · dz + slope · (x − mean) + offset, for the gradients of γ and β over m values.
  void set_backward(int64_t c, const Statistics<A>& of, double dgamma, double dbeta, double m) {
    const double scale = features.scale()[c], slope = -scale * of.inv_std[c] * dgamma / m;
    features.slope()[c] = A(slope);
    features.offset()[c] = A(-scale * dbeta / m - slope * of.rest[c]);
  }
};

// The running statistics of functional/running.py, moved in place: a feature that is not finite is skipped and counted.
template <class A> struct Running {
  A *mean, *var;
  int64_t *batches, *skipped;  // batches may be null
  std::optional<double> momentum;

  void update(const std::vector<Moments>& batch) const {
    std::vector<A> means, vars;
    for (const Moments& of : batch) means.push_back(A(of.mean)), vars.push_back(A(of.square / (of.count - 1)));
    move(means, vars);
  }

  // Towards a mean and a variance, or a row of covariances, for each feature.
  void move(const std::vector<A>& means, const std::vector<A>& vars) const {
    const int64_t c = means.size(), row = c == 0 ? 0 : vars.size() / c;
    std::vector<char> usable(c);
    bool all = true;
    for (int64_t i = 0; i < c; ++i) {
      A sum = means[i];
      for (int64_t k = i * row; k < (i + 1) * row; ++k) sum += vars[k];
      usable[i] = std::isfinite(sum);
      skipped[i] += !usable[i];
      all &= bool(usable[i]);
    }
    if (!momentum && !all) return;  // batches weigh the same, so it is left out for every feature
    const A a = momentum ? A(*momentum) : A(1) / A((batches ? *batches : 0) + 1);
    if (batches) ++*batches;
    for (int64_t i = 0; i < c; ++i) {
      if (!usable[i]) continue;
      mean[i] = lerp(mean[i], means[i], a);
      for (int64_t k = i * row; k < (i + 1) * row; ++k) var[k] = lerp(var[k], vars[k], a);
    }
  }

  // Exact at both ends.
  static A lerp(A from, A to, A share) {
    return share < A(0.5) ? from + share * (to - from) : to - (to - from) * (1 - share);
  }
};

}  // namespace steadynorm
