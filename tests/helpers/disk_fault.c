// Loaded before a program's own libraries (LD_PRELOAD), makes one folder's disk full or read-only for it and for what it
// starts, without a file system of its own and whoever runs it: root, whom permissions do not stop, too.
//
// QWT_FAULT_FOLDER: the folder. QWT_FAULT_BYTES: what its files may hold together, as far as write() goes; without it
// nothing can be made, written, renamed or removed there.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char* Folder(void) { return getenv("QWT_FAULT_FOLDER"); }

static int Inside(const char* path) {
  const char* folder = Folder();
  return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int ReadOnly(const char* path) {
  if (!Inside(path) || getenv("QWT_FAULT_BYTES") != NULL) return 0;
  errno = EROFS;
  return 1;
}

// Of all files below a folder.
static long long BytesBelow(const char* folder) {
  DIR* stream = opendir(folder);
  if (stream == NULL) return 0;
  long long bytes = 0;
  for (struct dirent* entry; (entry = readdir(stream)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char path[PATH_MAX];
    struct stat info;
    if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= (int)sizeof(path)) continue;
    if (lstat(path, &info) != 0) continue;
    bytes += S_ISDIR(info.st_mode) ? BytesBelow(path) : info.st_size;
  }
  closedir(stream);
  return bytes;
}

static int OpenFile(const char* name, int folder, const char* path, int flags, mode_t mode) {
  const int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;
  if (writes && ReadOnly(path)) return -1;
  int (*real)(int, const char*, int, ...) = dlsym(RTLD_NEXT, name);
  return real(folder, path, flags, mode);
}

#define MODE_OF(flags)                   \
  mode_t mode = 0;                       \
  if (((flags) & (O_CREAT)) != 0) {      \
    va_list list;                        \
    va_start(list, flags);               \
    mode = va_arg(list, mode_t);         \
    va_end(list);                        \
  }

int open(const char* path, int flags, ...) {
  MODE_OF(flags);
  return OpenFile("openat", AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  MODE_OF(flags);
  return OpenFile("openat64", AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  MODE_OF(flags);
  return OpenFile("openat", folder, path, flags, mode);
}

int mkdir(const char* path, mode_t mode) {
  struct stat info;
  if (stat(path, &info) != 0 && ReadOnly(path)) return -1;
  int (*real)(const char*, mode_t) = dlsym(RTLD_NEXT, "mkdir");
  return real(path, mode);
}

int rename(const char* from, const char* to) {
  if (ReadOnly(from) || ReadOnly(to)) return -1;
  int (*real)(const char*, const char*) = dlsym(RTLD_NEXT, "rename");
  return real(from, to);
}

int unlink(const char* path) {
  if (ReadOnly(path)) return -1;
  int (*real)(const char*) = dlsym(RTLD_NEXT, "unlink");
  return real(path);
}

int remove(const char* path) {
  if (ReadOnly(path)) return -1;
  int (*real)(const char*) = dlsym(RTLD_NEXT, "remove");
  return real(path);
}

ssize_t write(int file, const void* data, size_t count) {
  ssize_t (*real)(int, const void*, size_t) = dlsym(RTLD_NEXT, "write");
  const char* most = getenv("QWT_FAULT_BYTES");
  if (most == NULL || Folder() == NULL) return real(file, data, count);
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  if (length < 0) return real(file, data, count);
  path[length] = '\0';
  if (!Inside(path)) return real(file, data, count);
  const long long left = atoll(most) - BytesBelow(Folder());
  if (left <= 0 && count > 0) {
    errno = ENOSPC;
    return -1;
  }
  return real(file, data, (long long)count < left ? count : (size_t)left);
}
