#include "core/registry/markdown.h"

#include "core/registry/registry.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kDataset[] = "dataset";
constexpr char kModel[] = "model";
constexpr char kQuality[] = "quality";

const Schema kFolder = {{
    Option::Path("root",
                 "The folder that holds train/ and val/, one folder for each class in them, "
                 "images as JPEG or PNG."),
    Option::String("preset", "What the network | was\ntrained with.").OneOf({"deit", "vit"}).Default("deit"),
    Option::Int("images", "Of them.").Range(1, 50000).Default("32"),
    Option::Path("labels", "A list of class names.").Default(""),
}};

Schema Preset(const std::string& width, const std::string& heads) {
  return {{Option::Int("width", "Channels.").Default(width), Option::Int("heads", "Of them.").Default(heads),
           Option::Path("weights", "A file.").Default(width == "768" ? "big" : "")}};
}

const bool registered =
    Registry<int, kModel>::Get().Register({"base", "Big.", Preset("192", "3"), nullptr}) &&
    Registry<int, kModel>::Get().Register({"huge", "Bigger.", Preset("768", "3"), nullptr}) &&
    Registry<int, kModel>::Get().Register({"other", "As base.", Preset("192", "3"), nullptr}) &&
    Registry<int, kModel>::Get().Register({"thin", "Small.", Preset("192", "6"), nullptr}) &&
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

constexpr char kModels[] =
    "### `base`\n\nBig.\n\n"
    "| option | value | default | meaning |\n"
    "|---|---|---|---|\n"
    "| `width` | an integer | `192` | Channels. |\n"
    "| `heads` | an integer | `3` | Of them. |\n"
    "| `weights` | a path | none | A file. |\n"
    "\n### `huge`\n\nBigger.\n\nThe options of `base` with the defaults `width` `768`, `weights` `big`.\n"
    "\n### `other`\n\nAs base.\n\nThe options of `base`.\n"
    "\n### `thin`\n\nSmall.\n\nThe options of `base` with the default `heads` `6`.\n";

TEST(MarkdownTest, TellsEveryComponentAndOption) {
  ASSERT_TRUE(registered);
  EXPECT_EQ(RegistriesToMarkdown(), std::string("## Datasets\n\n"
                                                "### `fake`\n\nNoise.\n\nNo options.\n\n"
                                                "### `image_folder`\n\nImages in folders by class.\n\n") +
                                        kTable + "\n## Models\n\n" + kModels +
                                        "\n## Qualities\n\n"
                                        "### `good`\n\nPlain.\n\nNo options.\n");
}

TEST(MarkdownTest, TellsASectionOfAConfig) {
  EXPECT_EQ(SchemaToMarkdown("dataset", kFolder), std::string("## dataset\n\n") + kTable);
  EXPECT_EQ(OptionTable(kFolder), kTable);
  EXPECT_EQ(OptionTable({}), "No options.\n");
}

TEST(MarkdownTest, TellsTheOptionsOfAListOfMaps) {
  const Schema schema = {{Option::Maps("overrides", "One after the other.",
                                       {Option::String("match", "Pattern."), Option::Int("bits", "Few.").Optional()})}};
  EXPECT_EQ(OptionTable(schema),
            "| option | value | default | meaning |\n"
            "|---|---|---|---|\n"
            "| `overrides` | a list of maps of match, bits | `[]` | One after the other. |\n"
            "| `overrides[].match` | a string | required | Pattern. |\n"
            "| `overrides[].bits` | an integer | none | Few. |\n");
}

TEST(MarkdownTest, ComponentsMayHaveAPrefix) {
  EXPECT_EQ((ComponentsToMarkdown(Registry<int, kQuality>::Get(), "quality: ")),
            "### `quality: good`\n\nPlain.\n\nNo options.\n");
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
            "Models\n"
            "  base  Big.\n"
            "      width    an integer; default 192. Channels.\n"
            "      heads    an integer; default 3. Of them.\n"
            "      weights  a path. A file.\n"
            "  huge  Bigger.\n"
            "      The options of base with the defaults width 768, weights big.\n"
            "  other  As base.\n"
            "      The options of base.\n"
            "  thin  Small.\n"
            "      The options of base with the default heads 6.\n"
            "\n"
            "Qualities\n"
            "  good  Plain.\n");
}

}  // namespace
}  // namespace qwt
