#include "core/base/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"

namespace qwt {
namespace {

class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new()) { QWT_CHECK(EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1); }
  ~Hasher() { EVP_MD_CTX_free(context_); }
  Hasher(const Hasher&) = delete;

  void Add(absl::string_view bytes) { QWT_CHECK(EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1); }

  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    QWT_CHECK(EVP_DigestFinal_ex(context_, digest, &size) == 1);
    return absl::BytesToHexString({reinterpret_cast<char*>(digest), size});
  }

 private:
  EVP_MD_CTX* context_;
};

}  // namespace

std::string Sha256(absl::string_view bytes) {
  Hasher hasher;
  hasher.Add(bytes);
  return hasher.Hex();
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path) {
  const std::string what = absl::StrCat("read '", path, "'");
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ErrnoStatus(errno, what);
  Hasher hasher;
  std::vector<char> buffer(1 << 20);
  ssize_t count;
  while ((count = read(file, buffer.data(), buffer.size())) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    hasher.Add({buffer.data(), static_cast<size_t>(count)});
  }
  const int error = errno;
  close(file);
  if (count < 0) return ErrnoStatus(error, what);
  return hasher.Hex();
}

}  // namespace qwt
