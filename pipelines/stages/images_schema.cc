#include "pipelines/stages/images_schema.h"

#include "absl/strings/str_cat.h"

namespace qwt {

Schema ImagesSchema(int64_t default_images) {
  return {{Option::Int("images", "How many images of the training split.")
               .Range(1, 1e9)
               .Default(absl::StrCat(default_images)),
           Option::String("order", "Which: the first of the split, or drawn without repetition by the seed.")
               .OneOf({"first", "random"})
               .Default("random"),
           Option::String("transform", "How they are prepared.").OneOf({"eval"}).Default("eval")}};
}

ImageList PlanTrainImages(Planning& planning, const std::string& section, Problems* problems) {
  const Options& options = planning.request.Of(section);
  const Order order = options.String("order") == "first" ? Order::kFirst : Order::kRandom;
  return PlanImages(planning, Split::kTrain, options.Int("images"), order, options.Where("images"), problems);
}

int64_t ImagesOfRank(const ImageList& images, const Planning& planning) {
  const int64_t count = images.indices.size();
  return (count + planning.world_size - 1) / planning.world_size;
}

absl::StatusOr<std::vector<at::Tensor>> LoadBatches(RunContext& context, const ImageList& images, const Graph& graph) {
  std::vector<at::Tensor> batches;
  std::unique_ptr<Loader> loader = MakeLoader(context, images, graph);
  while (true) {
    QWT_ASSIGN_OR_RETURN(std::optional<Batch> batch, loader->Next());
    if (!batch.has_value()) return batches;
    batches.push_back(batch->images);
  }
}

}  // namespace qwt
