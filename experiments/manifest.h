// A manifest: many runs as one base config and the values in which they differ.
//
//   name: bits
//   base: ../configs/quickstart.yaml          # relative to the manifest; may be an axis too
//   grid: {quantize.weight_bits: [8, 4, 3], fit.ridge: [0, 1]}       # every combination
//   list: [{base: a.yaml, fit.images: 64}, {base: b.yaml}]           # each entry as it is
//   zip: {evaluate.images: [100, 200], fit.images: [64, 128]}        # the first of each, the second of each, …
//   seeds: [0, 1]
//   set: {evaluate.images: 1000}                                     # of every run
//   exclude: [{quantize.weight_bits: 8, fit.ridge: 1}]
//   run_name: "{model.name}_w{quantize.weight_bits}"                 # values of the run's config
//   slurm: {partition: gpu, time: "2:00:00"}                         # what runs ask of a cluster: SlurmSchema
//
// The runs are the product of what is given of grid, list, zip and seeds, the first in the file varying slowest, less
// the combinations that an entry of exclude matches. What an axis sets goes over set, and both over the base config.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/config/node.h"
#include "core/config/schema.h"

namespace qwt {

struct ManifestRun {
  std::string name;  // of the run and its folder: letters, digits and . _ + = -
  ConfigNode config;
  std::vector<std::pair<std::string, std::string>> axes;  // key path and value as text: of Manifest::axes what it sets
};

struct Manifest {
  std::string name;
  // Key paths, in order, that tell the runs apart: those with different values in some of them or, where these are not
  // enough, all that any run sets.
  std::vector<std::string> axes;
  std::vector<ManifestRun> runs;  // names differ
  Options slurm;                  // SlurmSchema's
};

// Reads a manifest and the config of each run, overrides applied to all, those of slurm.… to slurm. Everything
// wrong with the manifest or with single values is added to *problems; runs whose config cannot be read are left out,
// with a problem. The status is an error only where there is nothing to go on with: NotFound for the file, else
// InvalidArgument.
absl::StatusOr<Manifest> ReadManifest(const std::string& path, const std::vector<std::string>& overrides,
                                      Problems* problems);

// A value as a label: a scalar as it is, a list "[a, b]", a map by its `name` where it has one, else "{a: 1, b: 2}".
std::string ValueText(const ConfigNode& node);

}  // namespace qwt
