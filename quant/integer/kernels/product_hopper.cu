// Products on sm_90. A block stays on its multiprocessor and takes tile after tile of 64 x 128 outputs: three warps have the
// copy engine bring pieces of both operands, 128 bytes deep, to buffers in shared memory; a warpgroup for each multiplies
// them (wgmma) and writes what follows the sums.
//
// Resident: all of a column tile's weights fit in shared memory beside pieces of the input, and stay there while the
// block goes down the rows, a tile for each warpgroup in turn. Else the warpgroups take neighbouring tiles together and
// share each piece of the weights.
#include <algorithm>
#include <array>
#include <cstddef>

#include "quant/integer/kernels/product_hopper.cuh"
#include "quant/integer/kernels/product_hopper_output.cuh"
#include "quant/integer/kernels/tensor_map.cuh"

namespace qwt {
namespace {

constexpr int kGroups = 3, kGroupThreads = 128, kProducer = kGroups * kGroupThreads, kThreads = kProducer + kGroupThreads;
constexpr int kCodeBytes = kTileRows * kDepth, kWeightBytes = kTile * kDepth, kEndsBytes = kDepth / 8;
constexpr int kMemoryBytes = 12 * kWeightBytes, kMostResident = 6, kMostBuffers = 16;

// Tensors as the copy engine reads them, and how the work and the memory for pieces are divided.
struct Plan {
  CUtensorMap a, w, ends;
  int row_tiles = 0, column_tiles = 0, pieces = 0;
  int w_buffers = 0, a_buffers = 0;  // of kWeightBytes each; for each warpgroup, of kCodeBytes each
};

struct Shared {
  uint64_t a_full[kGroups][kMostBuffers], a_empty[kGroups][kMostBuffers], w_full[kMostBuffers], w_empty[kMostBuffers];
  Constants constants[kGroups];
};
constexpr int kSharedBytes = kMemoryBytes + static_cast<int>(sizeof(Shared)) + 1024;  // buffers begin at a multiple of 1024

// A block's tiles. Resident: neighbours in the order of rows, then columns, one for each warpgroup in turn. Else a unit is
// a tile for each, below each other; units of the same codes come at the same time.
template <bool kResident>
struct Tiles {
  int row_tiles, column_tiles, begin, end;
  __device__ __forceinline__ explicit Tiles(const Plan& plan) : row_tiles(plan.row_tiles), column_tiles(plan.column_tiles) {
    const int64_t blocks = gridDim.x, units = Units(plan);
    begin = static_cast<int>(kResident ? blockIdx.x * units / blocks : blockIdx.x);
    end = static_cast<int>(kResident ? (blockIdx.x + 1) * units / blocks : units);
  }
  static __host__ __device__ int Units(const Plan& plan) {
    return (kResident ? plan.row_tiles : (plan.row_tiles + kGroups - 1) / kGroups) * plan.column_tiles;
  }
  __device__ __forceinline__ int First(int group) const { return kResident ? begin + group : begin; }
  __device__ __forceinline__ int Next(int unit) const { return unit + (kResident ? kGroups : static_cast<int>(gridDim.x)); }
  __device__ __forceinline__ int Row(int unit, int group) const {
    return kResident ? unit % row_tiles : unit / column_tiles * kGroups + group;
  }
  __device__ __forceinline__ int Column(int unit) const { return kResident ? unit / row_tiles : unit % column_tiles; }
};

#ifdef QWT_WGMMA
constexpr int kProducerRegisters = 32, kConsumerRegisters = 160;  // of 128 each at first

// Buffers in turn, and how often all were used, modulo 2.
struct Ring {
  int size, index = 0, phase = 0;
  __device__ __forceinline__ void Advance() {
    if (++index < size) return;
    index = 0;
    phase ^= 1;
  }
};

struct Block {
  const Plan& plan;
  uint32_t buffers, shared;  // addresses

  __device__ __forceinline__ uint32_t Barrier(size_t member, int index) const {
    return shared + static_cast<uint32_t>(member) + index * 8;
  }
  __device__ __forceinline__ uint32_t AFull(int group, int i) const { return Barrier(offsetof(Shared, a_full), group * kMostBuffers + i); }
  __device__ __forceinline__ uint32_t AEmpty(int group, int i) const { return Barrier(offsetof(Shared, a_empty), group * kMostBuffers + i); }
  __device__ __forceinline__ uint32_t WFull(int i) const { return Barrier(offsetof(Shared, w_full), i); }
  __device__ __forceinline__ uint32_t WEmpty(int i) const { return Barrier(offsetof(Shared, w_empty), i); }
  __device__ __forceinline__ uint32_t W(int i) const { return buffers + i * kWeightBytes; }
  __device__ __forceinline__ uint32_t A(int group, int i) const {
    return buffers + plan.w_buffers * kWeightBytes + (group * plan.a_buffers + i) * kCodeBytes;
  }
};

// One thread for each warpgroup has its pieces brought, the first one's the weights, too.
template <Output kOutput, bool kResident, bool kEnds>
struct Producer {
  Block block;
  int group;
  Ring a, w;

  __device__ __forceinline__ void LoadWeights(int index, int phase, int piece, int column) const {
    AwaitPhase(block.WEmpty(index), phase ^ 1);
    ArriveExpecting(block.WFull(index), kWeightBytes);
    LoadBox(block.W(index), block.plan.w, block.WFull(index), piece * kDepth, 0, 0, 0,
            kOutput == Output::kCodes ? column : column * (kTile / 16));
  }
  // step: a piece of the codes, or behind them a piece of their ends.
  __device__ __forceinline__ void LoadCodes(int step, int row) {
    const int pieces = block.plan.pieces;
    const uint32_t full = block.AFull(group, a.index), to = block.A(group, a.index);
    AwaitPhase(block.AEmpty(group, a.index), a.phase ^ 1);
    if (kEnds && step >= pieces) {
      ArriveExpecting(full, kTileRows * kEndsBytes);
      LoadBox(to, block.plan.ends, full, (step - pieces) * kEndsBytes, row * kTileRows);
    } else {
      ArriveExpecting(full, kCodeBytes);
      LoadBox(to, block.plan.a, full, step * kDepth, row * kTileRows);
    }
    a.Advance();
  }
  // Resident weights of the column tiles up to this one.
  __device__ __forceinline__ void LoadResident(int column, int* next, int* phase) const {
    for (; *next <= column; ++*next, *phase ^= 1) {
      for (int piece = 0; piece < block.plan.pieces; ++piece) LoadWeights(piece, *phase, piece, *next);
    }
  }

  __device__ __forceinline__ void Run() {
    const Tiles<kResident> tiles(block.plan);
    const int pieces = block.plan.pieces, steps = kEnds ? 2 * pieces : pieces;
    int next = tiles.Column(tiles.begin), phase = 0;
    for (int unit = tiles.First(group); unit < tiles.end; unit = tiles.Next(unit)) {
      const int column = tiles.Column(unit);
      if (kResident && group == 0) LoadResident(column, &next, &phase);
      for (int step = 0; step < steps; ++step) {
        if (!kResident && group == 0) {
          LoadWeights(w.index, w.phase, step % pieces, column);
          w.Advance();
        }
        LoadCodes(step, tiles.Row(unit, group));
      }
    }
    if (kResident && group == 0) LoadResident(tiles.Column(tiles.end - 1), &next, &phase);
  }
};

// A warpgroup that multiplies and writes.
template <Output kOutput, Activation kActivation, bool kResident, bool kEnds, bool kMore>
struct Consumer {
  const ProductArguments& p;
  Block block;
  Constants& constants;
  const char* memory;  // of the buffers
  int group;
  Ring a, w;

  // One thread of each warp says that it is done with what it read.
  __device__ __forceinline__ void ReleaseCodes(const Ring& ring) const {
    if (threadIdx.x % 32 == 0) Arrive(block.AEmpty(group, ring.index));
  }
  __device__ __forceinline__ void ReleaseWeights(const Ring& ring) const {
    if (!kResident && threadIdx.x % 32 == 0) Arrive(block.WEmpty(ring.index));
  }
  __device__ __forceinline__ void Advance() {
    a.Advance();
    if (!kResident) return w.Advance();
    if (++w.index == w.size) w.index = 0;
  }

  // Adds the piece's codes to the sums of the thread's two rows: 32 of 128, lines of 16 in an order without conflicts.
  __device__ __forceinline__ void AddCodes(uint32_t (&sums)[2]) const {
    const int lane = threadIdx.x % 32, row = static_cast<int>(threadIdx.x % kGroupThreads / 32 * 16) + lane / 4;
    const char* from = memory + (block.A(group, a.index) - block.buffers) + row * kDepth + lane % 4 * 32;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int line = 0; line < 2; ++line) {
        const uint4 codes = *reinterpret_cast<const uint4*>(from + r * 8 * kDepth + (line ^ (row & 1)) * 16);
        sums[r] = __dp4a(codes.x, 0x01010101u, sums[r]);
        sums[r] = __dp4a(codes.y, 0x01010101u, sums[r]);
        sums[r] = __dp4a(codes.z, 0x01010101u, sums[r]);
        sums[r] = __dp4a(codes.w, 0x01010101u, sums[r]);
      }
      asm volatile("" : "+r"(sums[r])::"memory");  // read before the piece is given back
    }
  }

  // sums: of the codes of the thread's rows, where they are wanted.
  __device__ __forceinline__ void MultiplyCodes(int32_t (&acc)[64], uint32_t (&sums)[2]) {
    Ring last_a = a, last_w = w;
    sums[0] = sums[1] = 0;
    for (int piece = 0; piece < block.plan.pieces; ++piece) {
      AwaitPhase(block.WFull(w.index), w.phase);
      AwaitPhase(block.AFull(group, a.index), a.phase);
      const uint64_t codes = TileDescriptor(block.A(group, a.index)), weights = TileDescriptor(block.W(w.index));
      WarpgroupArrive();
#pragma unroll
      for (int k = 0; k < kDepth / 32; ++k) MultiplyTiles(acc, codes + 2 * k, weights + 2 * k, piece > 0 || k > 0);
      WarpgroupCommit();
      if (kMore) AddCodes(sums);
      if (piece > 0) {
        WarpgroupWait<1>();
        ReleaseCodes(last_a);
        ReleaseWeights(last_w);
      }
      last_a = a;
      last_w = w;
      Advance();
    }
    WarpgroupWait<0>();
    FenceSums(acc);
    ReleaseCodes(last_a);
    ReleaseWeights(last_w);
#pragma unroll
    for (int r = 0; r < 2 && kMore; ++r) {
      sums[r] += __shfl_xor_sync(~0u, sums[r], 1);
      sums[r] += __shfl_xor_sync(~0u, sums[r], 2);
    }
  }

  // acc = end_multiplier · acc + what the ends add. Operands of the matrix units, 16 rows a warp, hold end_code where there
  // is an end, else 0.
  __device__ __forceinline__ void MultiplyEnds(int32_t (&acc)[64]) {
    const int word = static_cast<int>(threadIdx.x % kGroupThreads / 32 * 16 + threadIdx.x % 32 / 4) * 4 + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < 64; ++i) acc[i] *= p.end_multiplier;
    for (int piece = 0; piece < block.plan.pieces; ++piece) {
      AwaitPhase(block.AFull(group, a.index), a.phase);
      const auto* words = reinterpret_cast<const uint32_t*>(memory + (block.A(group, a.index) - block.buffers)) + word;
      const uint32_t ends[2] = {words[0], words[8 * 4]};
      uint32_t fragments[4][4];
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        fragments[i / 4][i % 4] = (ends[i % 2] >> (i / 4 * 2 + i % 4 / 2) & 0x01010101u) * p.end_code;
      }
      AwaitPhase(block.WFull(w.index), w.phase);
      const uint64_t weights = TileDescriptor(block.W(w.index));
      WarpgroupArrive();
#pragma unroll
      for (int k = 0; k < 4; ++k) MultiplyTiles(acc, fragments[k], weights + 2 * k);
      WarpgroupCommit();
      WarpgroupWait<0>();
      FenceSums(acc);
      ReleaseCodes(a);  // not before: an arrival may overtake loads that wait behind others
      ReleaseWeights(w);
      Advance();
    }
  }

  // Resident weights, which have come, are no longer read: the next column tile's may come.
  __device__ __forceinline__ void LeaveColumn() {
    for (int piece = 0; piece < block.plan.pieces; ++piece) {
      AwaitPhase(block.WFull(piece), w.phase);
      if (threadIdx.x % 32 == 0) Arrive(block.WEmpty(piece));
    }
    w.phase ^= 1;
  }

  __device__ __forceinline__ void Run() {
    const Tiles<kResident> tiles(block.plan);
    int resident = tiles.Column(tiles.begin), loaded = -1;
    for (int unit = tiles.First(group); unit < tiles.end; unit = tiles.Next(unit)) {
      const int column = tiles.Column(unit), first_row = tiles.Row(unit, group) * kTileRows;
      for (; kResident && resident < column; ++resident) LeaveColumn();
      if (column != loaded) {
        WaitNamed(1 + group, kGroupThreads);
        constants.Load<kOutput, kActivation>(p, column * kTile);
        WaitNamed(1 + group, kGroupThreads);
        loaded = column;
      }
      if (kOutput == Output::kFloat && kResident) PrefetchAdded(p, first_row, column * kTile);
      int32_t acc[64];
      uint32_t sums[2];
      MultiplyCodes(acc, sums);
      if (kEnds) MultiplyEnds(acc);
      const TileRows rows(p, first_row);
      if (kOutput == Output::kFloat) {
        WriteFloats<kMore>(p, acc, sums, rows, column * kTile, constants);
      } else {
        WriteCodes<kActivation>(p, acc, rows, column * kTile, constants);
      }
    }
    // Tiles of the last columns may all be others'.
    for (; kResident && resident < tiles.Column(tiles.end - 1); ++resident) LeaveColumn();
  }
};

#endif

// kMore: the codes' sums of each row are wanted, or residuals repeat.
template <Output kOutput, Activation kActivation, bool kResident, bool kEnds, bool kMore>
__global__ void __launch_bounds__(kThreads, 1)
    HopperProduct(const __grid_constant__ ProductArguments p, const __grid_constant__ Plan plan) {
#ifdef QWT_WGMMA
  extern __shared__ char unaligned[];
  char* memory = unaligned + (-SharedAddress(unaligned) & 1023);
  auto& shared = *reinterpret_cast<Shared*>(memory + kMemoryBytes);
  const Block block{plan, SharedAddress(memory), SharedAddress(&shared)};
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int i = 0; i < kMostBuffers; ++i) {
#pragma unroll 1
      for (int group = 0; group < kGroups; ++group) {
        InitBarrier(block.AFull(group, i), 1);
        InitBarrier(block.AEmpty(group, i), kGroupThreads / 32);
      }
      InitBarrier(block.WFull(i), 1);
      InitBarrier(block.WEmpty(i), kGroups * kGroupThreads / 32);
    }
    FenceBarriers();
  }
  __syncthreads();
  const Ring a{plan.a_buffers}, w{plan.w_buffers};
  const int group = __shfl_sync(~0u, threadIdx.x / kGroupThreads, 0);  // which the compiler sees is the warp's
  if (group == kGroups) {
    ReleaseRegisters<kProducerRegisters>();
    const int of = __shfl_sync(~0u, static_cast<int>(threadIdx.x - kProducer) / 32, 0);
    if (threadIdx.x % 32 == 0 && of < kGroups) Producer<kOutput, kResident, kEnds>{block, of, a, w}.Run();
  } else {
    ClaimRegisters<kConsumerRegisters>();
    Consumer<kOutput, kActivation, kResident, kEnds, kMore>{p, block, shared.constants[group], memory, group, a, w}.Run();
  }
#endif
}

// Weights are read in an order that leaves a thread of a warpgroup neighbouring outputs (ColumnOf).
CUtensorMap WeightMap(const ProductArguments& p, int column_tiles) {
  const int64_t row = p.w_pitch, tiles = column_tiles;
  if (p.codes != nullptr) {
    return MakeTensorMap(p.w, {{p.depth, 1, kDepth}, {2, row, 2}, {4, 32 * row, 4}, {16, 2 * row, 16}, {tiles, kTile * row, 1}});
  }
  return MakeTensorMap(p.w, {{p.depth, 1, kDepth}, {2, row, 2}, {4, 4 * row, 4}, {2, 2 * row, 2}, {8 * tiles, 16 * row, 8}});
}

Plan MakePlan(const ProductArguments& p) {
  Plan plan;
  const auto tiles = [](int64_t size, int64_t of) { return static_cast<int>((size + of - 1) / of); };
  plan.row_tiles = tiles(p.rows, kTileRows);
  plan.column_tiles = tiles(p.columns, kTile);
  plan.pieces = tiles(p.depth, kDepth);
  plan.w_buffers = plan.pieces <= kMostResident ? plan.pieces : 4;
  plan.a_buffers = (kMemoryBytes - plan.w_buffers * kWeightBytes) / (kGroups * kCodeBytes);
  plan.a = MakeTensorMap(p.a, {{p.depth, 1, kDepth}, {p.rows, p.a_pitch, kTileRows}});
  plan.w = WeightMap(p, plan.column_tiles);
  plan.ends = plan.a;
  if (p.ends_offset > 0) {
    plan.ends = MakeTensorMap(p.a + p.ends_offset, {{EndWords(p.depth) * 4, 1, kEndsBytes}, {p.rows, p.a_pitch, kTileRows}});
  }
  return plan;
}

constexpr int kMostGpus = 64;
struct Gpu {
  bool hopper = false;
  int multiprocessors = 0;
};
const Gpu& CurrentGpu() {
  static const auto gpus = [] {
    std::array<Gpu, kMostGpus> found;
    int count = 0, major = 0;
    cudaGetDeviceCount(&count);
    for (int i = 0; i < std::min(count, kMostGpus); ++i) {
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, i);
      cudaDeviceGetAttribute(&found[i].multiprocessors, cudaDevAttrMultiProcessorCount, i);
      found[i].hopper = major == 9;
    }
    return found;
  }();
  int device = 0;
  cudaGetDevice(&device);
  return gpus[std::min(device, kMostGpus - 1)];
}

template <Output kOutput, Activation kActivation, bool kResident, bool kEnds, bool kMore = false>
void Launch(const ProductArguments& p, const Plan& plan, int multiprocessors, cudaStream_t stream) {
  constexpr auto kKernel = HopperProduct<kOutput, kActivation, kResident, kEnds, kMore>;
  AllowSharedMemory<kKernel>(kSharedBytes, "product");
  kKernel<<<std::min(Tiles<kResident>::Units(plan), multiprocessors), kThreads, kSharedBytes, stream>>>(p, plan);
  CheckLaunch("product");
}

template <Output kOutput, Activation kActivation>
void Launch(const ProductArguments& p, const Plan& plan, int multiprocessors, cudaStream_t stream) {
  const bool resident = plan.pieces <= kMostResident, ends = p.ends_offset > 0;
  if (resident && ends) {
    Launch<kOutput, kActivation, true, true>(p, plan, multiprocessors, stream);
  } else if (resident) {
    Launch<kOutput, kActivation, true, false>(p, plan, multiprocessors, stream);
  } else if (ends) {
    Launch<kOutput, kActivation, false, true>(p, plan, multiprocessors, stream);
  } else {
    Launch<kOutput, kActivation, false, false>(p, plan, multiprocessors, stream);
  }
}

bool WantsMore(const ProductArguments& p) { return p.row_sum_scale != nullptr || p.residual_period > 0; }

// Whether there is a kernel for it.
bool Fits(const ProductArguments& p) {
  const bool floats = p.codes == nullptr, ends = p.ends_offset > 0;
  return (!floats || p.columns % 4 == 0) && (!WantsMore(p) || (floats && !ends));
}

}  // namespace

bool ProductOnHopper(const ProductArguments& p, cudaStream_t stream) {
  const Gpu& gpu = CurrentGpu();
  if (!gpu.hopper || !Fits(p)) return false;
  const Plan plan = MakePlan(p);
  if (WantsMore(p)) {
    if (plan.pieces <= kMostResident) {
      Launch<Output::kFloat, Activation::kNone, true, false, true>(p, plan, gpu.multiprocessors, stream);
    } else {
      Launch<Output::kFloat, Activation::kNone, false, false, true>(p, plan, gpu.multiprocessors, stream);
    }
  } else if (p.codes == nullptr) {
    Launch<Output::kFloat, Activation::kNone>(p, plan, gpu.multiprocessors, stream);
  } else if (p.activation == Activation::kNone) {
    Launch<Output::kCodes, Activation::kNone>(p, plan, gpu.multiprocessors, stream);
  } else if (p.activation == Activation::kGelu) {
    Launch<Output::kCodes, Activation::kGelu>(p, plan, gpu.multiprocessors, stream);
  } else {
    Launch<Output::kCodes, Activation::kRelu>(p, plan, gpu.multiprocessors, stream);
  }
  return true;
}

}  // namespace qwt
