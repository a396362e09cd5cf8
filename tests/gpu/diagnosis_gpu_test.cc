// A diagnosis on a GPU against the CPU's.
#include "gmock/gmock.h"
#include "qwt/diagnosis.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/golden_model.h"

namespace qwt {
namespace {

using DiagnosisGpuTest = GpuTest;

double ShareOf(double share, double whole) { return share * whole + 1e-12; }

TEST_F(DiagnosisGpuTest, FiguresAreTheCpus) {
  for (const auto &[name, compensator] : {std::pair("vit_w4a4", "linear"), {"swin_w4a4", "linear"}}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    QuantizedModel model = QuantizeGolden(network, "repq_vit", "{weight_bits: 4, activation_bits: 4}");
    FitGolden(network, compensator, "{}", &model);
    const auto comm = MakeLocalCommunicator();
    const auto expected = Diagnose(model, {network.evaluation}, *comm, 1);
    const auto found = Diagnose(model, {network.evaluation.to(gpu_)}, *comm, 1, gpu_);
    ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
    EXPECT_EQ(found->images, expected->images);
    ASSERT_EQ(found->segments.size(), expected->segments.size());
    for (size_t i = 0; i < expected->segments.size(); ++i) {
      const SegmentError &wanted = expected->segments[i], &error = found->segments[i];
      SCOPED_TRACE(wanted.segment);
      EXPECT_EQ(error.segment, wanted.segment);
      // Float values differ in their last bits; where one of them lies on a code's edge, the code is another one.
      EXPECT_NEAR(error.signal, wanted.signal, ShareOf(1e-4, wanted.signal));
      EXPECT_NEAR(error.mse_alone, wanted.mse_alone, ShareOf(0.05, wanted.mse_alone));
      EXPECT_NEAR(error.mse_quantized, wanted.mse_quantized, ShareOf(0.1, wanted.mse_quantized));
      ASSERT_TRUE(error.mse_compensated.has_value());
      EXPECT_NEAR(*error.mse_compensated, *wanted.mse_compensated, ShareOf(0.1, *wanted.mse_compensated));
    }
    ASSERT_EQ(found->sites.size(), expected->sites.size());
    for (size_t i = 0; i < expected->sites.size(); ++i) {
      const SiteNoise &wanted = expected->sites[i], &noise = found->sites[i];
      SCOPED_TRACE(wanted.site);
      EXPECT_EQ(noise.site, wanted.site);
      EXPECT_EQ(noise.levels, wanted.levels);
      ASSERT_TRUE(noise.sqnr_db.has_value() && wanted.sqnr_db.has_value());
      EXPECT_NEAR(*noise.sqnr_db, *wanted.sqnr_db, 0.2);
      EXPECT_NEAR(noise.clipped, wanted.clipped, 1e-3);
    }
  }
}

}  // namespace
}  // namespace qwt
