// Access to trees that steps have written. No link is ever followed.
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int open_place(enum place place) {
  static const char *const roots[] = {"/run/airlock/workspace/data", "/run/airlock/files/job",
                                      "/run/airlock/files/step"};
  return open(roots[place], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int open_beneath(int root, const char *path, int flags) {
  struct open_how how = {
      .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  };
  return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

int open_parent(int root, const char *path, bool create, mode_t mode, const char **name) {
  int directory = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (const char *at = path; directory >= 0;) {
    const char *slash = strchr(at, '/');
    *name = at;
    if (!slash) return directory;
    char component[256];
    size_t length = (size_t)(slash - at);
    memcpy(component, at, length);
    component[length] = 0;
    // Set the mode only of directories that this call creates, whatever the umask is.
    bool made = create && mkdirat(directory, component, mode) == 0;
    int next = openat(directory, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next >= 0 && made) fchmod(next, mode);
    int error = errno;
    close(directory);
    errno = error;
    directory = next;
    at = slash + 1;
  }
  return -1;
}

// Removes everything below a directory that only the agent has written. Deeper than 64 levels is an error.
static int clear_level(int directory, int depth) {
  DIR *listing = depth > 64 ? NULL : fdopendir(directory);
  if (!listing) {
    close(directory);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; (entry = readdir(listing));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (unlinkat(directory, entry->d_name, 0) == 0) continue;
    int child = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0 || clear_level(child, depth + 1) < 0 || unlinkat(directory, entry->d_name, AT_REMOVEDIR) < 0)
      result = -1;
  }
  closedir(listing);
  return result;
}

// Moves what a directory contains into `root`, so that no tree is too deep: neither stack nor descriptors grow.
static int flatten(int root, const char *name, unsigned *budget) {
  int child = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *listing = child < 0 ? NULL : fdopendir(child);
  int result = listing ? 0 : -1;
  for (struct dirent *entry; result == 0 && *budget > 0 && (entry = readdir(listing));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    --*budget;
    if (unlinkat(child, entry->d_name, 0) == 0) continue;
    uint64_t random[2];
    char unique[40];
    if (getrandom(random, sizeof random, 0) != sizeof random) die("no random numbers");
    snprintf(unique, sizeof unique, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
    result = renameat(child, entry->d_name, root, unique);
  }
  if (listing) closedir(listing);
  else if (child >= 0) close(child);
  if (result == 0 && *budget > 0) result = unlinkat(root, name, AT_REMOVEDIR);
  return result;
}

int clear_some(int root, unsigned budget) {
  int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *listing = copy < 0 ? NULL : fdopendir(copy);
  if (!listing) return -1;
  int result = 1;
  for (struct dirent *entry; result >= 0 && budget > 0 && (entry = readdir(listing));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    result = 0;
    budget--;
    if (unlinkat(root, entry->d_name, 0) < 0) result = flatten(root, entry->d_name, &budget);
  }
  int error = errno;
  closedir(listing);
  errno = error;
  return budget == 0 && result > 0 ? 0 : result;
}

int clear_directory(int directory) { return clear_level(directory, 0); }

static DIR *open_listing(int parent, const char *name) {
  int directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *listing = directory < 0 ? NULL : fdopendir(directory);
  if (!listing && directory >= 0) close(directory);
  return listing;
}

// Changes the owner of one entry. Returns 1 for a directory, -1 with errno on failure.
static int give_entry(int parent, const char *name, uint32_t uid, uint32_t gid) {
  struct stat stats;
  if (fstatat(parent, name, &stats, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  if ((stats.st_uid != uid || stats.st_gid != gid) && fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  return S_ISDIR(stats.st_mode);
}

// A tree can have any depth, so this opens one directory at a time and remembers only a position for each level.
int give_tree(const char *path, uint32_t uid, uint32_t gid) {
  long *positions = NULL;
  size_t depth = 0, room = 0;
  int given = give_entry(AT_FDCWD, path, uid, gid);
  DIR *listing = given < 0 ? NULL : open_listing(AT_FDCWD, path);
  while (listing) {
    errno = 0;
    struct dirent *entry = readdir(listing);
    if (!entry && (errno || depth == 0)) break;
    if (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))) continue;
    if (entry && (given = give_entry(dirfd(listing), entry->d_name, uid, gid)) < 0) break;
    if (entry && !given) continue;
    if (entry && depth == room) {
      long *more = realloc(positions, (room = room * 2 + 64) * sizeof *positions);
      if (!more) break;
      positions = more;
    }
    if (entry) positions[depth++] = telldir(listing);
    DIR *next = open_listing(dirfd(listing), entry ? entry->d_name : "..");
    int error = errno;
    closedir(listing);
    errno = error;
    listing = next;
    if (listing && !entry) seekdir(listing, positions[--depth]);
  }
  int error = errno;
  if (listing) closedir(listing);
  free(positions);
  return error;
}
