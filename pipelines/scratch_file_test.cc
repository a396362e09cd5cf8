#include "pipelines/scratch_file.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

std::string Path(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  fs::remove(path);
  return path;
}

at::Tensor Value(int number, int64_t size = 1000) { return at::full({size}, number, at::kFloat); }

void ExpectThere(const ScratchFile& file, int64_t place, const at::Tensor& value) {
  const at::Tensor read = at::empty(value.sizes(), value.scalar_type());
  ASSERT_TRUE(file.Read(place, read).ok());
  EXPECT_TRUE(read.equal(value));
}

TEST(ScratchFileTest, KeepsTensorsAndReusesRoom) {
  ScratchFile file;
  EXPECT_FALSE(file.is_open());
  const std::string path = Path("tensors");
  ASSERT_TRUE(file.Open(path).ok());
  EXPECT_FALSE(fs::exists(path));
  const int64_t first = *file.Write(Value(1)), second = *file.Write(Value(2));
  ExpectThere(file, first, Value(1));
  ExpectThere(file, second, Value(2));
  file.Free(first, 4000);
  const int64_t larger = *file.Write(Value(3, 2000));
  EXPECT_EQ(larger, 8000);
  EXPECT_EQ(*file.Write(Value(4)), first);
  EXPECT_EQ(*file.Write(Value(5)), 16000);  // the room is taken once
  ExpectThere(file, first, Value(4));
  ExpectThere(file, second, Value(2));
  ExpectThere(file, larger, Value(3, 2000));
}

TEST(ScratchFileTest, SaysWhatIsWrong) {
  ScratchFile file;
  EXPECT_EQ(file.Open("/nowhere/file"), absl::NotFoundError("write '/nowhere/file': No such file or directory"));
  const std::string path = Path("short");
  ASSERT_TRUE(file.Open(path).ok());
  EXPECT_EQ(file.Read(0, Value(0)), absl::UnavailableError("read '" + path + "': it is shorter than it was"));
}

TEST(ScratchFileTest, AFullDiskIsAnError) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    ScratchFile file;
    const bool opened = file.Open(Path("full")).ok();
    const auto first = file.Write(Value(1)), second = file.Write(Value(2));
    _exit(opened && first.ok() && !second.ok() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace qwt
