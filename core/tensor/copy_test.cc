#include "core/tensor/copy.h"

#include <cstring>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

// The same values and strides, one byte further than they may stand. `bytes` keeps them.
at::Tensor Unaligned(const at::Tensor& tensor, std::vector<char>* bytes) {
  const ByteRange range = BytesOf(tensor);
  bytes->resize(range.end - range.begin + 16);
  char* place = bytes->data();
  while (reinterpret_cast<uintptr_t>(place) % 8 != 1) ++place;
  std::memcpy(place, range.begin, range.end - range.begin);
  return at::from_blob(place, tensor.sizes(), tensor.strides(), tensor.options());
}

TEST(CopyTest, UnalignedNumbersOfAnyStrides) {
  const at::Tensor whole = at::arange(3 * 700 * 800, at::kFloat).reshape({3, 700, 800});  // several scratch blocks
  const at::Tensor half = at::arange(2000, at::kFloat).to(at::kHalf);
  for (const at::Tensor& tensor :
       {whole, whole.permute({2, 0, 1}), whole.narrow(1, 3, 5), whole.select(2, 7), whole.flatten(),
        whole.select(0, 1).select(0, 1).select(0, 1), half, half.reshape({40, 50}).t(),
        half.narrow(0, 0, 50).unsqueeze(0).expand({30, 50}), half.narrow(0, 0, 0)}) {
    std::vector<char> bytes;
    const at::Tensor target = at::empty(tensor.sizes(), at::kFloat);
    CopyUnaligned(Unaligned(tensor, &bytes), target);
    EXPECT_TRUE(target.equal(tensor.to(at::kFloat))) << tensor.sizes() << " " << tensor.strides();
    const at::Tensor copy = AlignedCopy(Unaligned(tensor, &bytes));
    EXPECT_TRUE(copy.is_contiguous());
    EXPECT_TRUE(copy.equal(tensor)) << tensor.sizes() << " " << tensor.strides();
  }
}

TEST(CopyTest, AlignedNumbersToo) {
  const at::Tensor target = at::empty({2, 3}, at::kDouble);
  CopyUnaligned(at::arange(6, at::kFloat).reshape({3, 2}).t(), target);
  EXPECT_TRUE(target.equal(at::arange(6, at::kDouble).reshape({3, 2}).t()));
}

TEST(CopyTest, BytesFromTheFirstElementToTheLast) {
  const at::Tensor tensor = at::arange(12, at::kFloat).reshape({3, 4});
  const char* data = static_cast<const char*>(tensor.const_data_ptr());
  const ByteRange column = BytesOf(tensor.select(1, 1));
  EXPECT_EQ(column.begin - data, 4);
  EXPECT_EQ(column.end - data, (2 * 4 + 1 + 1) * 4);
  const ByteRange none = BytesOf(tensor.narrow(0, 0, 0));
  EXPECT_EQ(none.begin, none.end);
}

}  // namespace
}  // namespace qwt
