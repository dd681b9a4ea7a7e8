// Tensors of torch's stable ABI as the kernels take them.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>

#include "layout.h"

namespace steadynorm {

using torch::stable::Tensor;
using Maybe = std::optional<Tensor>;

inline Layout layout_of(const Tensor& x) {
  const auto sizes = x.sizes(), strides = x.strides();
  const int64_t axes = sizes.size();
  STD_TORCH_CHECK(axes >= 2, "the input must have shape (N, C, *S), received ", axes, " axes");
  // The strides from the last axis to the first, in the order of `axis_at`, must be the products of the sizes so far.
  auto follows = [&](auto axis_at) {
    int64_t expected = 1;
    for (int64_t k = 0; k < axes; ++k) {
      const int64_t axis = axis_at(k);
      if (sizes[axis] != 1 && strides[axis] != expected) return false;
      expected *= sizes[axis];
    }
    return true;
  };
  int64_t positions = 1;
  for (int64_t axis = 2; axis < axes; ++axis) positions *= sizes[axis];
  const int64_t n = sizes[0], c = sizes[1], bytes = x.element_size();
  const bool planes = follows([&](int64_t k) { return axes - 1 - k; });
  if (planes && c == 1) return {true, false, bytes, 1, 1, n * positions};
  if (planes && positions > 1) return {true, false, bytes, n, c, positions};
  const bool rows = follows([&](int64_t k) { return k == 0 ? 1 : k == axes - 1 ? 0 : axes - k; });
  return {planes || rows, true, bytes, n * positions, c, 1};
}

// A tensor of this one's sizes and strides, or a vector, not filled.
inline Tensor empty(std::initializer_list<int64_t> sizes, int32_t dtype) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (int64_t k = int64_t(sizes.size()) - 2; k >= 0; --k) strides[k] = strides[k + 1] * sizes.begin()[k + 1];
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(sizes.size(), sizes.begin(), strides.data(), dtype,
                                                         aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

inline int32_t dtype_of(const Tensor& x) {
  int32_t dtype;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(x.get(), &dtype));
  return dtype;
}

inline Tensor unfilled_like(const Tensor& x) {
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(x.dim(), x.sizes().data(), x.strides().data(), dtype_of(x),
                                                         aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// The tensor, or a copy, in planes or rows.
inline Tensor dense(const Tensor& x) { return layout_of(x).dense ? x : torch::stable::contiguous(x); }

// The same values, laid out as x is, which is dense.
inline Tensor laid_out_as(const Tensor& t, const Tensor& x) {
  STD_TORCH_CHECK(t.dim() == x.dim() && dtype_of(t) == dtype_of(x),
                  "tensors must share shape and dtype with the input");
  bool same = true;
  for (int64_t axis = 0; axis < x.dim(); ++axis) {
    STD_TORCH_CHECK(t.size(axis) == x.size(axis), "tensors must share shape and dtype with the input");
    same &= t.size(axis) == 1 || t.stride(axis) == x.stride(axis);
  }
  if (same) return t;
  Tensor copy = unfilled_like(x);
  torch::stable::copy_(copy, t);
  return copy;
}

// The numbers of a (C,) tensor, or `otherwise` everywhere.
template <class A> std::vector<A> vector_of(const Maybe& t, int64_t c, A otherwise) {
  if (!t) return std::vector<A>(c, otherwise);
  STD_TORCH_CHECK(t->numel() == c, "a vector of ", c, " numbers is needed, received ", t->numel());
  const Tensor whole = t->is_contiguous() ? *t : torch::stable::contiguous(*t);
  std::vector<A> numbers(c);
  const auto read = [&](const auto* from) {
    for (int64_t i = 0; i < c; ++i) numbers[i] = A(load<1>(from + i)[0]);
  };
  const int32_t dtype = dtype_of(whole);
  if (dtype == aoti_torch_dtype_float32())
    read(static_cast<const float*>(whole.data_ptr()));
  else if (dtype == aoti_torch_dtype_float64())
    read(static_cast<const double*>(whole.data_ptr()));
  else if (dtype == aoti_torch_dtype_bfloat16())
    read(static_cast<const bfloat16*>(whole.data_ptr()));
  else
    STD_TORCH_CHECK(false, "weights and statistics must be float32, float64 or bfloat16");
  return numbers;
}

template <class T> T* data(const Tensor& t) { return static_cast<T*>(t.data_ptr()); }
template <class T> T* data(const Maybe& t) { return t ? data<T>(*t) : nullptr; }

}  // namespace steadynorm
