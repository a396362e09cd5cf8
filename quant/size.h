// What a network's parameters take at few bits, as the reference counts: Σ numel·bits, 32 bits for what is not
// quantised; scales and zero points are not counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/graph.h"

namespace qwt {

// Bits of each quantised weight: parameter name -> bits.
using WeightBits = std::map<std::string, int>;

// As every published method gives them: `bits`, but kBorderBits at the border.
WeightBits PublishedWeightBits(const Graph& graph, int bits);

int64_t ParameterBits(const std::vector<ParameterSpec>& parameters, const WeightBits& weight_bits);

inline double BitsToMb(int64_t bits) { return static_cast<double>(bits) / 8 / 1e6; }

}  // namespace qwt
