#include "core/registry/registry.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kWheel[] = "wheel";
constexpr char kBrake[] = "brake";
constexpr char kNothing[] = "nothing";

using WheelRegistry = Registry<int, kWheel, int>;
using BrakeRegistry = Registry<std::string, kBrake>;
using NothingRegistry = Registry<int, kNothing>;

const bool registered = WheelRegistry::Get().Register({"spoked_wheel",
                                                       "With spokes.",
                                                       {{Option::Int("spokes", "How many.").Default("36")}},
                                                       [](const Options& options, int wheels) -> absl::StatusOr<int> {
                                                         return static_cast<int>(options.Int("spokes")) * wheels;
                                                       }}) &&
                        WheelRegistry::Get().Register({"disc",
                                                       "Solid.",
                                                       {},
                                                       [](const Options&, int wheels) -> absl::StatusOr<int> {
                                                         return absl::UnimplementedError("no spokes");
                                                       }}) &&
                        BrakeRegistry::Get().Register(
                            {"rim", "Old.", {}, [](const Options&) -> absl::StatusOr<std::string> { return "rim"; }});

TEST(RegistryTest, FindsAndCreates) {
  ASSERT_TRUE(registered);
  auto wheel = WheelRegistry::Get().Find("spoked_wheel");
  ASSERT_TRUE(wheel.ok()) << wheel.status();
  EXPECT_EQ((*wheel)->doc, "With spokes.");
  Problems problems;
  const Options options = CheckOptions(ConfigNode(), (*wheel)->schema, &problems);
  EXPECT_EQ(*(*wheel)->create(options, 2), 72);
}

TEST(RegistryTest, UnknownNameSaysAllNamesAndTheNearest) {
  EXPECT_EQ(WheelRegistry::Get().Find("spoked").status(),
            absl::NotFoundError("unknown wheel 'spoked'; did you mean 'spoked_wheel'? There are: disc, spoked_wheel"));
  EXPECT_EQ(WheelRegistry::Get().Find("triangle").status(),
            absl::NotFoundError("unknown wheel 'triangle'; there are: disc, spoked_wheel"));
  EXPECT_EQ(NothingRegistry::Get().Find("x").status(), absl::NotFoundError("unknown nothing 'x'; none is registered"));
}

TEST(RegistryTest, AllRegistriesStandByKindAndTheirComponentsByName) {
  NothingRegistry::Get();
  std::vector<std::string> kinds, names;
  for (const RegistryBase* registry : RegistryBase::All()) {
    kinds.push_back(registry->kind());
    for (const RegistryBase::Description& description : registry->Descriptions()) names.push_back(description.name);
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"brake", "nothing", "wheel"}));
  EXPECT_EQ(names, (std::vector<std::string>{"rim", "disc", "spoked_wheel"}));
}

TEST(RegistryDeathTest, ANameTakenTwiceIsABrokenInvariant) {
  EXPECT_DEATH(BrakeRegistry::Get().Register({"rim", "Again.", {}, nullptr}),
               "broken invariant: brake 'rim' is registered twice");
}

}  // namespace
}  // namespace qwt
