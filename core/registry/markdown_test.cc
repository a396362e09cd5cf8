#include "core/registry/markdown.h"

#include "core/registry/registry.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kDataset[] = "dataset";
constexpr char kQuality[] = "quality";

const Schema kFolder = {{
    Option::Path("root",
                 "The folder that holds train/ and val/, one folder for each class in them, "
                 "images as JPEG or PNG."),
    Option::String("preset", "What the network | was\ntrained with.").OneOf({"deit", "vit"}).Default("deit"),
    Option::Int("images", "Of them.").Range(1, 50000).Default("32"),
    Option::Path("labels", "A list of class names.").Default(""),
}};

const bool registered =
    Registry<int, kQuality>::Get().Register({"good", "Plain.", {}, nullptr}) &&
    Registry<int, kDataset>::Get().Register({"image_folder", "Images in folders by class.", kFolder, nullptr}) &&
    Registry<int, kDataset>::Get().Register({"fake", "Noise.", {}, nullptr});

constexpr char kTable[] =
    "| option | value | default | meaning |\n"
    "|---|---|---|---|\n"
    "| `root` | a path | required | The folder that holds train/ and val/, one folder for each class in them, images "
    "as JPEG or PNG. |\n"
    "| `preset` | one of deit, vit | `deit` | What the network \\| was trained with. |\n"
    "| `images` | an integer from 1 to 50000 | `32` | Of them. |\n"
    "| `labels` | a path | none | A list of class names. |\n";

TEST(MarkdownTest, TellsEveryComponentAndOption) {
  ASSERT_TRUE(registered);
  EXPECT_EQ(RegistriesToMarkdown(), std::string("## Datasets\n\n"
                                                "### `fake`\n\nNoise.\n\nNo options.\n\n"
                                                "### `image_folder`\n\nImages in folders by class.\n\n") +
                                        kTable +
                                        "\n## Qualities\n\n"
                                        "### `good`\n\nPlain.\n\nNo options.\n");
}

TEST(MarkdownTest, TellsASectionOfAConfig) {
  EXPECT_EQ(SchemaToMarkdown("dataset", kFolder), std::string("## dataset\n\n") + kTable);
}

TEST(MarkdownTest, TextFitsA100ColumnTerminal) {
  EXPECT_EQ(RegistriesToText(),
            "Datasets\n"
            "  fake  Noise.\n"
            "  image_folder  Images in folders by class.\n"
            "      root    a path; required. The folder that holds train/ and val/, one folder for each class in\n"
            "              them, images as JPEG or PNG.\n"
            "      preset  one of deit, vit; default deit. What the network | was trained with.\n"
            "      images  an integer from 1 to 50000; default 32. Of them.\n"
            "      labels  a path. A list of class names.\n"
            "\n"
            "Qualities\n"
            "  good  Plain.\n");
}

}  // namespace
}  // namespace qwt
