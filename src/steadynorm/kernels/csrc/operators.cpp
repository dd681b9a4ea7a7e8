// The operators of kernels/operators.py for the CPU, against torch's stable ABI: schemas and gradients are there.
#include <torch/csrc/stable/library.h>

#include <limits>
#include <tuple>

#include "kernels.h"
#include "norms.h"
#include "tensors.h"

namespace steadynorm {

constexpr int64_t activations = 9;

void parallel_for(int64_t begin, int64_t end, int64_t grain_size, Callable<void(int64_t, int64_t)> f) {
  torch::stable::parallel_for(begin, end, grain_size, f);
}

int64_t threads() { return torch::stable::get_num_threads(); }

// Call f with a null pointer of the input's storage type.
template <class F> auto with_type(const Tensor& x, F&& f) {
  STD_TORCH_CHECK(x.is_cpu(), "the input must be on the CPU");
  const int32_t dtype = dtype_of(x);
  if (dtype == aoti_torch_dtype_float64()) return f(static_cast<double*>(nullptr));
  if (dtype == aoti_torch_dtype_bfloat16()) return f(static_cast<bfloat16*>(nullptr));
  STD_TORCH_CHECK(dtype == aoti_torch_dtype_float32(), "the input must be float32, float64 or bfloat16");
  return f(static_cast<float*>(nullptr));
}

template <class T> Tensor new_numbers(std::initializer_list<int64_t> sizes) {
  const bool wide = sizeof(arithmetic<T>) == 8;
  return empty(sizes, wide ? aoti_torch_dtype_float64() : aoti_torch_dtype_float32());
}

template <class T> Statistics<arithmetic<T>> statistics_of(const Tensor& t, int64_t c) {
  STD_TORCH_CHECK(t.numel() == 3 * c && t.is_contiguous() && t.element_size() == sizeof(arithmetic<T>),
                  "statistics must be (3, C), float32 or wider, as the operators return them");
  return {data<arithmetic<T>>(t), c};
}

template <class T> Affine<arithmetic<T>> affine_of(const Maybe& weight, const Maybe& bias, int64_t c) {
  return {vector_of<arithmetic<T>>(weight, c, 1), vector_of<arithmetic<T>>(bias, c, 0)};
}

// An input, dense, and what goes with it, in the same layout.
template <class T> struct Operands {
  Tensor x;
  Maybe extra;
  Inputs<T> in;

  Operands(const Tensor& input, const Maybe& with, int64_t activation) : x(dense(input)) {
    STD_TORCH_CHECK(0 <= activation && activation < activations, "no activation has the number ", activation);
    if (with) extra = laid_out_as(*with, x);
    in = {layout_of(x), data<T>(x), data<T>(extra), activation};
  }
};

// Some examples in a row of a dense batch: how they lie, and where they begin.
struct Piece {
  Layout layout;
  int64_t begin;
};

std::vector<Piece> pieces_of(const Tensor& x, int64_t examples) {
  STD_TORCH_CHECK(examples >= 1, "a piece must have at least one example, received ", examples);
  const int64_t n = x.size(0), each = n == 0 ? 0 : x.numel() / n;
  std::vector<Piece> pieces;
  for (int64_t first = 0; first < n; first += examples) {
    const int64_t count = std::min(examples, n - first);
    Layout layout = layout_of(x);
    (layout.n == 1 ? layout.s : layout.n) = (layout.n == 1 ? layout.s : layout.n) / n * count;
    pieces.push_back({layout, first * each});
  }
  return pieces;
}

// The running statistics of a layer, or none of them.
struct MaybeRunning {
  Maybe mean, var, batches, skipped;
  std::optional<double> momentum;

  template <class A> void update(const std::vector<Moments>& batch) const {
    if (!mean) return;
    Running<A>{data<A>(mean), data<A>(var), data<int64_t>(batches), data<int64_t>(skipped), momentum}.update(batch);
  }

  // Before anything is computed.
  void check(int64_t c, size_t number_size, int64_t vars) const {
    if (!mean && !var && !batches && !skipped) return;
    STD_TORCH_CHECK(mean && var && batches && skipped, "running statistics must be given all four, or none");
    const auto holds = [](const Tensor& t, int64_t numbers, size_t size) {
      return t.numel() == numbers && t.is_contiguous() && size_t(t.element_size()) == size;
    };
    STD_TORCH_CHECK(holds(*mean, c, number_size) && holds(*var, vars, number_size),
                    "running statistics must hold a number for each feature, float32, or float64 as the input is");
    STD_TORCH_CHECK(holds(*batches, 1, 8) && holds(*skipped, c, 8),
                    "the number of batches must be an int64, skipped updates an int64 for each feature");
  }
};

// Normalizes into y, which may be the input; statistics are filled in; the moments are returned.
template <class T>
std::vector<Moments> by_batch(const Operands<T>& operands, const Maybe& weight, const Maybe& bias,
                              const MaybeRunning& running, double eps, const Tensor& y, const Tensor& statistics) {
  const int64_t c = operands.in.layout.c;
  running.check(c, sizeof(arithmetic<T>), c);
  auto affine = affine_of<T>(weight, bias, c);
  auto batch = normalize_by_batch<T>(operands.in, affine, statistics_of<T>(statistics, c), eps, data<T>(y));
  running.update<arithmetic<T>>(batch);
  return batch;
}

std::tuple<Tensor, Tensor> ghost(const Tensor& x, const Maybe& residual, const Maybe& weight, const Maybe& bias,
                                 const Maybe& running_mean, const Maybe& running_var, const Maybe& num_batches_tracked,
                                 const Maybe& skipped_updates, std::optional<double> momentum, double eps,
                                 int64_t activation, int64_t examples) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using A = arithmetic<T>;
    const Operands<T> operands(x, residual, activation);
    const int64_t c = operands.in.layout.c;
    const MaybeRunning running{running_mean, running_var, num_batches_tracked, skipped_updates, momentum};
    running.check(c, sizeof(A), c);
    const auto pieces = pieces_of(operands.x, examples);
    const Tensor y = unfilled_like(operands.x), statistics = new_numbers<T>({int64_t(pieces.size()), 3, c});
    auto affine = affine_of<T>(weight, bias, c);
    std::vector<Moments> whole(c);
    A* of_piece = data<A>(statistics);
    for (const Piece& piece : pieces) {
      const auto moments = normalize_by_batch<T>(operands.in.at(piece.layout, piece.begin), affine,
                                                 {of_piece, c}, eps, data<T>(y) + piece.begin);
      for (int64_t i = 0; i < c; ++i) whole[i].merge(moments[i]);
      of_piece += 3 * c;
    }
    running.update<A>(whole);
    return std::tuple(y, statistics);
  });
}

std::tuple<Tensor, Tensor> forward(const Tensor& x, const Maybe& residual, const Maybe& weight, const Maybe& bias,
                                   const Maybe& running_mean, const Maybe& running_var,
                                   const Maybe& num_batches_tracked, const Maybe& skipped_updates,
                                   std::optional<double> momentum, double eps, int64_t activation) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(x, residual, activation);
    const Tensor y = unfilled_like(operands.x), statistics = new_numbers<T>({3, operands.in.layout.c});
    by_batch(operands, weight, bias, {running_mean, running_var, num_batches_tracked, skipped_updates, momentum}, eps,
             y, statistics);
    return std::tuple(y, statistics);
  });
}

Tensor forward_in_place(const Tensor& x, const Maybe& residual, const Maybe& weight, const Maybe& bias,
                        const Maybe& running_mean, const Maybe& running_var, const Maybe& num_batches_tracked,
                        const Maybe& skipped_updates, std::optional<double> momentum, double eps, int64_t activation) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    STD_TORCH_CHECK(layout_of(x).dense, "what is overwritten must be contiguous or channels_last");
    const Operands<T> operands(x, residual, activation);
    const Tensor statistics = new_numbers<T>({3, operands.in.layout.c});
    by_batch(operands, weight, bias, {running_mean, running_var, num_batches_tracked, skipped_updates, momentum}, eps,
             x, statistics);
    return statistics;
  });
}

std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const Maybe& residual, const Maybe& weight,
                                              const Maybe& bias, double eps, int64_t activation) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(x, residual, activation);
    const int64_t c = operands.in.layout.c;
    const Tensor y = unfilled_like(operands.x), statistics = new_numbers<T>({3, c}), var = new_numbers<T>({c});
    const auto batch = by_batch(operands, weight, bias, {}, eps, y, statistics);
    for (int64_t i = 0; i < c; ++i) data<arithmetic<T>>(var)[i] = arithmetic<T>(batch[i].variance());
    return std::tuple(y, statistics, var);
  });
}

Tensor recover_from(const Tensor& y, const Maybe& weight, const Maybe& bias, const Tensor& statistics,
                    int64_t activation) {
  return with_type(y, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(y, {}, activation);
    const int64_t c = operands.in.layout.c;
    const Tensor x = unfilled_like(operands.x);
    auto affine = affine_of<T>(weight, bias, c);
    affine.set_all(statistics_of<T>(statistics, c));
    STD_TORCH_CHECK(recover(operands.in, affine, data<T>(x)), "activation number ", activation, " has no inverse");
    return x;
  });
}

Tensor moments(const Tensor& input) {
  return with_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(input, {}, 0);
    const auto batch = measure(operands.in.layout, operands.in.x);
    const int64_t c = batch.size();
    const Tensor both = empty({2, c}, aoti_torch_dtype_float64());
    double* numbers = data<double>(both);
    for (int64_t i = 0; i < c; ++i) numbers[i] = batch[i].mean, numbers[c + i] = batch[i].variance();
    return both;
  });
}

void move(const Tensor& running_mean, const Tensor& running_var, const Tensor& batches, const Tensor& skipped,
          const Tensor& mean, const Tensor& var, const Maybe& count, bool bessel, std::optional<double> momentum) {
  with_type(running_mean, [&](auto* type) {
    using A = std::remove_pointer_t<decltype(type)>;
    if constexpr (std::is_same_v<A, arithmetic<A>>) {
      const int64_t c = running_mean.numel();
      MaybeRunning{running_mean, running_var, batches, skipped, momentum}.check(c, sizeof(A), running_var.numel());
      const double n = count ? vector_of<double>(count, 1, 0)[0] : 1;
      if (n == 0) return;
      auto means = vector_of<A>(mean, c, 0), vars = vector_of<A>(var, running_var.numel(), 0);
      if (bessel)
        for (A& v : vars) v *= n > 1 ? A(n / (n - 1)) : std::numeric_limits<A>::quiet_NaN();
      Running<A>{data<A>(running_mean), data<A>(running_var), data<int64_t>(batches), data<int64_t>(skipped), momentum}
          .move(means, vars);
    } else {
      STD_TORCH_CHECK(false, "running statistics must be float32 or float64");
    }
  });
}

std::tuple<Tensor, Tensor> normalize_by(const Tensor& x, const Maybe& residual, const Maybe& weight, const Maybe& bias,
                                        const Tensor& mean, const Tensor& var, double eps, int64_t activation) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(x, residual, activation);
    const int64_t c = operands.in.layout.c;
    const Tensor y = unfilled_like(operands.x), numbers = new_numbers<T>({3, c});
    const auto means = vector_of<double>(mean, c, 0), vars = vector_of<double>(var, c, 1);
    auto statistics = statistics_of<T>(numbers, c);
    auto affine = affine_of<T>(weight, bias, c);
    for (int64_t i = 0; i < c; ++i) statistics.set(i, means[i], vars[i], eps), affine.set(i, statistics);
    normalize(operands.in, affine, data<T>(y));
    return std::tuple(y, numbers);
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> backward_of(const Tensor& gradient, const Tensor& input, const Maybe& saved,
                                                       const Maybe& weight, const Maybe& bias, const Tensor& statistics,
                                                       int64_t activation, bool constant, bool want_dx, bool want_dz) {
  return with_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Operands<T> operands(input, saved, activation);
    const int64_t c = operands.in.layout.c;
    const Tensor dy = laid_out_as(gradient, operands.x);
    const Tensor dx = want_dx ? unfilled_like(operands.x) : empty({0}, dtype_of(input));
    const Tensor dz = want_dz ? unfilled_like(operands.x) : empty({0}, dtype_of(input));
    const Tensor dgamma = new_numbers<T>({c}), dbeta = new_numbers<T>({c});
    auto affine = affine_of<T>(weight, bias, c);
    const auto of = statistics_of<T>(statistics, c);
    affine.set_all(of);
    const Gradients<T> out{want_dx ? data<T>(dx) : nullptr, want_dz ? data<T>(dz) : nullptr,
                           data<arithmetic<T>>(dgamma), data<arithmetic<T>>(dbeta), constant};
    backward(operands.in, static_cast<const T*>(data<T>(dy)), affine, of, out);
    return std::tuple(dx, dz, dgamma, dbeta);
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> ghost_backward(const Tensor& gradient, const Tensor& input,
                                                          const Maybe& saved, const Maybe& weight, const Maybe& bias,
                                                          const Tensor& statistics, int64_t activation,
                                                          int64_t examples, bool want_dx, bool want_dz) {
  return with_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using A = arithmetic<T>;
    const Operands<T> operands(input, saved, activation);
    const int64_t c = operands.in.layout.c;
    const auto pieces = pieces_of(operands.x, examples);
    STD_TORCH_CHECK(statistics.numel() == int64_t(pieces.size()) * 3 * c && statistics.is_contiguous() &&
                        statistics.element_size() == sizeof(A),
                    "statistics must be (pieces, 3, C), float32 or wider, as ghost returned them");
    const Tensor dy = laid_out_as(gradient, operands.x);
    const Tensor dx = want_dx ? unfilled_like(operands.x) : empty({0}, dtype_of(input));
    const Tensor dz = want_dz ? unfilled_like(operands.x) : empty({0}, dtype_of(input));
    const Tensor dgamma = new_numbers<T>({c}), dbeta = new_numbers<T>({c});
    auto affine = affine_of<T>(weight, bias, c);
    std::vector<A> of_gamma(c), of_beta(c);
    std::vector<double> sums(2 * c);
    A* of_piece = data<A>(statistics);
    for (const Piece& piece : pieces) {
      const Statistics<A> of(of_piece, c);
      affine.set_all(of);
      const Gradients<T> out{want_dx ? data<T>(dx) + piece.begin : nullptr, want_dz ? data<T>(dz) + piece.begin : nullptr,
                             of_gamma.data(), of_beta.data(), false};
      backward(operands.in.at(piece.layout, piece.begin), static_cast<const T*>(data<T>(dy)) + piece.begin, affine, of,
               out);
      for (int64_t i = 0; i < c; ++i) sums[i] += of_gamma[i], sums[c + i] += of_beta[i];
      of_piece += 3 * c;
    }
    std::copy_n(sums.data(), c, data<A>(dgamma)), std::copy_n(sums.data() + c, c, data<A>(dbeta));
    return std::tuple(dx, dz, dgamma, dbeta);
  });
}

Tensor backward_apply_to(const Tensor& gradient, const Tensor& input, const Maybe& saved, const Maybe& weight,
                         const Maybe& bias, const Tensor& statistics, int64_t activation, const Tensor& dgamma,
                         const Tensor& dbeta, double count) {
  return with_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using A = arithmetic<T>;
    const Operands<T> operands(input, saved, activation);
    const int64_t c = operands.in.layout.c;
    const Tensor dy = laid_out_as(gradient, operands.x), dx = unfilled_like(operands.x);
    const auto of = statistics_of<T>(statistics, c);
    const auto of_gamma = vector_of<A>(dgamma, c, 0), of_beta = vector_of<A>(dbeta, c, 0);
    auto affine = affine_of<T>(weight, bias, c);
    affine.set_all(of);
    for (int64_t i = 0; i < c; ++i) affine.set_backward(i, of, of_gamma[i], of_beta[i], count);
    backward_apply(operands.in, static_cast<const T*>(data<T>(dy)), affine, data<T>(dx));
    return dx;
  });
}

Tensor mix_by(const Tensor& x, const Maybe& residual, const Tensor& matrix, const Tensor& mean, const Maybe& shift,
              int64_t activation) {
  return with_type(x, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    using A = arithmetic<T>;
    const Operands<T> operands(x, residual, activation);
    const int64_t c = operands.in.layout.c;
    STD_TORCH_CHECK(matrix.dim() == 3 && matrix.size(1) == matrix.size(2) && matrix.size(0) * matrix.size(1) == c,
                    "the matrices must be (groups, C/groups, C/groups)");
    const int64_t size = matrix.size(1);
    const auto means = vector_of<double>(mean, c, 0);
    const auto numbers = vector_of<A>(matrix, c * size, 0);
    Mixing<A> by{size, numbers, std::vector<A>(means.begin(), means.end()), vector_of<A>(shift, c, 0)};
    for (int64_t row = 0; row < c; ++row)
      for (int64_t k = 0; k < size; ++k) {
        const int64_t first = row / size * size;
        by.shift[row] -= numbers[row * size + k] * A(means[first + k] - by.mean[first + k]);  // lost by rounding
        if (operands.in.layout.rows) by.matrix[(first + k) * size + row - first] = numbers[row * size + k];
      }
    const Tensor y = unfilled_like(operands.x);
    mix(operands.in, by, data<T>(y));
    return y;
  });
}

// Call f with a null pointer of the storage type, of float32 and float64 alone.
template <class F> auto with_wide_type(const Tensor& x, F&& f) {
  STD_TORCH_CHECK(x.is_cpu(), "the input must be on the CPU");
  if (dtype_of(x) == aoti_torch_dtype_float64()) return f(static_cast<double*>(nullptr));
  STD_TORCH_CHECK(dtype_of(x) == aoti_torch_dtype_float32(), "the input must be float32 or float64");
  return f(static_cast<float*>(nullptr));
}

Tensor norms(const Tensor& input, bool infinite, bool centred) {
  return with_wide_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const Tensor x = dense(input);
    const Layout layout = layout_of(x);
    const int64_t c = layout.c;
    const Norms<T> of(layout, data<T>(x), infinite, centred);
    const Tensor all = empty({5, c}, aoti_torch_dtype_float64());
    double* numbers = data<double>(all);
    for (int64_t i = 0; i < c; ++i) {
      const Norm& norm = of.found[i];
      const double both[] = {of.moments[i].mean, norm.total, norm.largest, norm.signs, norm.counted};
      for (int64_t k = 0; k < 5; ++k) numbers[k * c + i] = both[k];
    }
    return all;
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> norms_backward(const Tensor& gradient, const Tensor& input,
                                                          const Maybe& saved, const Maybe& weight, const Maybe& bias,
                                                          const Tensor& statistics, int64_t activation,
                                                          const Tensor& found, bool infinite, bool centred,
                                                          bool want_dx, bool want_dz) {
  return with_wide_type(input, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto results =
        backward_of(gradient, input, saved, weight, bias, statistics, activation, true, want_dx, want_dz);
    if (!want_dx) return results;
    const auto& [dx, dz, dgamma, dbeta] = results;
    const Tensor x = dense(input);
    const Layout layout = layout_of(x);
    const int64_t c = layout.c;
    const auto of = statistics_of<T>(statistics, c);
    const auto gamma = vector_of<double>(weight, c, 1), numbers = vector_of<double>(found, 5 * c, 0);
    NormGradient<T> more(c, infinite);
    for (int64_t i = 0; i < c; ++i) {
      const double* p = numbers.data() + i;
      more.set(i, p[0], centred, {p[c], p[2 * c], p[3 * c], p[4 * c]}, gamma[i] * of.inv_std[i], of.inv_std[i],
               data<T>(dgamma)[i], data<T>(dbeta)[i], layout.values());
    }
    more.add_to(data<T>(dx), data<T>(x), layout);
    return results;
  });
}

}  // namespace steadynorm

STABLE_TORCH_LIBRARY_IMPL(steadynorm, CPU, library) {
  library.impl("moments", TORCH_BOX(&steadynorm::moments));
  library.impl("move", TORCH_BOX(&steadynorm::move));
  library.impl("forward", TORCH_BOX(&steadynorm::forward));
  library.impl("forward_", TORCH_BOX(&steadynorm::forward_in_place));
  library.impl("batch_norm", TORCH_BOX(&steadynorm::batch_norm));
  library.impl("recover", TORCH_BOX(&steadynorm::recover_from));
  library.impl("normalize", TORCH_BOX(&steadynorm::normalize_by));
  library.impl("inference", TORCH_BOX(&steadynorm::normalize_by));
  library.impl("backward", TORCH_BOX(&steadynorm::backward_of));
  library.impl("ghost", TORCH_BOX(&steadynorm::ghost));
  library.impl("ghost_backward", TORCH_BOX(&steadynorm::ghost_backward));
  library.impl("norms", TORCH_BOX(&steadynorm::norms));
  library.impl("norms_backward", TORCH_BOX(&steadynorm::norms_backward));
  library.impl("mix", TORCH_BOX(&steadynorm::mix_by));
  library.impl("backward_apply", TORCH_BOX(&steadynorm::backward_apply_to));
}
