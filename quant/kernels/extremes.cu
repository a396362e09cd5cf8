// Order statistics by radix selection: three passes over a row count its values by the next 11, 11 and 10 bits of a key
// that grows as the value does, and narrow down to the key of the kept-th largest; a fourth takes what lies above it.
// The smallest are the largest of the negated, whose keys are the complements, in the same passes. A row that one block
// reads quickly is that block's alone; of longer ones all blocks count a part, in a few kernels in a row.
#include <cooperative_groups.h>

#include "quant/kernels/device.cuh"
#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

constexpr int kDigits = 3, kBins = 2048;

using Total = unsigned long long;  // what atomicAdd takes

// One end of one row. Zero at first.
struct Selection {
  uint32_t prefix;  // the key's bits that are known; after the last digit all of it
  uint32_t unused;
  Total remaining;  // of the values that agree with the prefix so many are kept
  Total found;      // so many above the key are written
};

struct Digit {
  int shift, bits;
  bool first, last;
  __device__ explicit Digit(int i)
      : shift(i == 0 ? 21 : i == 1 ? 10 : 0), bits(i == 2 ? 10 : 11), first(i == 0), last(i == kDigits - 1) {}
};

__device__ inline uint32_t KeyOf(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float ValueOf(uint32_t key) {
  key = min(max(key, 0x007FFFFFu), 0xFF800000u);  // beyond the infinities lie NaNs
  return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

// Of the key at one end of the row: 0, the largest values; 1, the smallest.
__device__ inline uint32_t AtEnd(int end, uint32_t key) { return end == 0 ? key : ~key; }

// Counts this block's share of the row into `bins`.
__device__ void Count(const float* x, int64_t n, const Digit& digit, const uint32_t (&prefix)[2],
                      unsigned (&bins)[2][kBins]) {
  for (int i = threadIdx.x; i < 2 * kBins; i += kThreads) bins[i / kBins][i % kBins] = 0;
  __syncthreads();
  ForShare(x, n, [&](float v, int64_t) {
    const uint32_t key = KeyOf(v);
    if (digit.first) {
      atomicAdd(&bins[0][key >> digit.shift], 1u);
      return;
    }
#pragma unroll
    for (int end = 0; end < 2; ++end) {
      const uint32_t k = AtEnd(end, key);
      if ((k ^ prefix[end]) >> (digit.shift + digit.bits) != 0) continue;
      atomicAdd(&bins[end][k >> digit.shift & ((1u << digit.bits) - 1)], 1u);
    }
  });
  __syncthreads();
  if (!digit.first) return;
  for (int i = threadIdx.x; i < kBins; i += kThreads) bins[1][i] = bins[0][kBins - 1 - i];
  __syncthreads();
}

// The bin that holds the remaining-th largest, found by the one thread whose share of `bins` it is in.
template <typename Bin>
__device__ void Narrow(const Bin* bins, const Digit& digit, Selection* selection) {
  constexpr int kShare = kBins / kThreads;
  __shared__ Total totals[kThreads];
  const int top = kBins - 1 - threadIdx.x * kShare;
  const Total remaining = selection->remaining;
  Total own = 0;
  for (int i = 0; i < kShare; ++i) own += bins[top - i];
  totals[threadIdx.x] = own;
  for (int width = 1; width < kThreads; width *= 2) {
    __syncthreads();
    const Total before = threadIdx.x >= width ? totals[threadIdx.x - width] : 0;
    __syncthreads();
    totals[threadIdx.x] += before;
  }
  Total above = totals[threadIdx.x] - own;
  if (above < remaining && remaining <= above + own) {
    int bin = top;
    while (above + bins[bin] < remaining) above += bins[bin--];
    selection->prefix |= static_cast<uint32_t>(bin) << digit.shift;
    selection->remaining = remaining - above;
  }
  __syncthreads();
}

// Writes this block's share of what lies above the keys, and of the copies of the keys that are kept.
__device__ void Collect(const float* x, int64_t n, int64_t kept, const uint32_t (&key)[2], const Total (&equal)[2],
                        Selection* (&selection)[2], float* (&extremes)[2]) {
  ForShare(x, n, [&](float v, int64_t) {
    const uint32_t of_value = KeyOf(v);
#pragma unroll
    for (int end = 0; end < 2; ++end) {
      const uint32_t k = AtEnd(end, of_value);
      if (k <= key[end]) continue;
      const auto group = cooperative_groups::coalesced_threads();
      Total at = 0;
      if (group.thread_rank() == 0) at = atomicAdd(&selection[end]->found, Total{group.size()});
      extremes[end][group.shfl(at, 0) + group.thread_rank()] = ValueOf(k);
    }
  });
  for (int end = 0; end < 2; ++end) {
    for (int64_t i = First(); i < static_cast<int64_t>(equal[end]); i += Step()) {
      extremes[end][kept - 1 - i] = ValueOf(key[end]);
    }
  }
}

// Row blockIdx.x, whole.
__global__ void ExtremesOfShortRows(const float* __restrict__ x, int64_t n, int64_t kept, float* extremes) {
  __shared__ unsigned bins[2][kBins];
  __shared__ Selection of[2];
  const int64_t row = blockIdx.x;
  x += row * n;
  if (threadIdx.x < 2) of[threadIdx.x] = {0, 0, static_cast<Total>(kept), 0};
  __syncthreads();
  for (int i = 0; i < kDigits; ++i) {
    const Digit digit(i);
    const uint32_t prefix[2] = {of[0].prefix, of[1].prefix};
    Count(x, n, digit, prefix, bins);
    for (int end = 0; end < 2; ++end) Narrow(bins[end], digit, &of[end]);
  }
  const uint32_t key[2] = {of[0].prefix, of[1].prefix};
  const Total equal[2] = {of[0].remaining, of[1].remaining};
  Selection* selection[2] = {&of[0], &of[1]};
  float* ends[2] = {extremes + row * kept, extremes + (gridDim.x + row) * kept};
  Collect(x, n, kept, key, equal, selection, ends);
}

// Adds part blockIdx.y of row blockIdx.x to bins, [rows, 2, kBins].
__global__ void CountLongRows(const float* __restrict__ x, int64_t n, int digit, const Selection* selections,
                              Total* bins) {
  __shared__ unsigned mine[2][kBins];
  const int64_t row = blockIdx.x;
  const uint32_t prefix[2] = {selections[2 * row].prefix, selections[2 * row + 1].prefix};
  Count(x + row * n, n, Digit(digit), prefix, mine);
  bins += row * 2 * kBins;
  for (int i = threadIdx.x; i < 2 * kBins; i += kThreads) {
    const unsigned count = mine[i / kBins][i % kBins];
    if (count > 0) atomicAdd(&bins[i], Total{count});
  }
}

// End blockIdx.x, of 2 · rows; leaves its bins at 0 for the next digit.
__global__ void NarrowLongRows(int64_t kept, int digit, Selection* selections, Total* bins) {
  bins += blockIdx.x * static_cast<int64_t>(kBins);
  Selection* selection = selections + blockIdx.x;
  if (digit == 0 && threadIdx.x == 0) selection->remaining = static_cast<Total>(kept);
  __syncthreads();
  Narrow(bins, Digit(digit), selection);
  for (int i = threadIdx.x; i < kBins; i += kThreads) bins[i] = 0;
}

__global__ void CollectLongRows(const float* __restrict__ x, int64_t n, int64_t kept, Selection* selections,
                                float* extremes) {
  const int64_t row = blockIdx.x;
  Selection* selection[2] = {selections + 2 * row, selections + 2 * row + 1};
  const uint32_t key[2] = {selection[0]->prefix, selection[1]->prefix};
  const Total equal[2] = {selection[0]->remaining, selection[1]->remaining};
  float* ends[2] = {extremes + row * kept, extremes + (gridDim.x + row) * kept};
  Collect(x + row * n, n, kept, key, equal, selection, ends);
}

// Whether all blocks share a row: where it is long for one block, or there are too few rows to keep the GPU busy.
bool Shared(int64_t rows, int64_t n) { return n >= 65536 || (n >= 4096 && rows < 64); }

}  // namespace

int64_t ExtremesWorkspace(int64_t rows, int64_t n) {
  return Shared(rows, n) ? rows * 2 * static_cast<int64_t>(sizeof(Selection) + kBins * sizeof(Total)) : 0;
}

void ExtremesOnGpu(const float* x, int64_t rows, int64_t n, int64_t kept, void* workspace, float* extremes,
                   void* stream) {
  if (rows == 0) return;
  const auto queue = static_cast<cudaStream_t>(stream);
  const auto each_row = static_cast<unsigned>(rows);
  if (!Shared(rows, n)) {
    ExtremesOfShortRows<<<each_row, kThreads, 0, queue>>>(x, n, kept, extremes);
    CheckLaunch("order statistics");
    return;
  }
  Total* bins = static_cast<Total*>(workspace);
  auto* selections = reinterpret_cast<Selection*>(bins + rows * 2 * kBins);
  // Sixteen values a thread or more, and no more blocks than are resident at once.
  const int64_t parts = std::max<int64_t>(1, std::min(BlocksFor(n / 16), kMostBlocks / 2 / rows));
  const dim3 grid(each_row, static_cast<unsigned>(parts));
  for (int digit = 0; digit < kDigits; ++digit) {
    CountLongRows<<<grid, kThreads, 0, queue>>>(x, n, digit, selections, bins);
    NarrowLongRows<<<2 * each_row, kThreads, 0, queue>>>(kept, digit, selections, bins);
  }
  CollectLongRows<<<grid, kThreads, 0, queue>>>(x, n, kept, selections, extremes);
  CheckLaunch("order statistics");
}

}  // namespace qwt
