// What a sweep's runs ask of a SLURM cluster: the section `slurm` of a manifest.
#pragma once

#include <string>
#include <vector>

#include "core/config/node.h"
#include "core/config/schema.h"

namespace qwt {

Schema SlurmSchema();

// The section, checked; what is wrong with it is added to *problems. A null node is a section that is left out.
Options CheckSlurm(const ConfigNode& section, Problems* problems);

// sbatch's options for it: {"--partition=gpu", "--time=1:00:00"}.
std::vector<std::string> SbatchFlags(const Options& slurm);

}  // namespace qwt
