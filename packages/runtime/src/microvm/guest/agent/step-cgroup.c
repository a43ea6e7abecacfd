// The cgroup (version 2) of the step that runs, inside the guest.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/step"
static bool exists;

// A step whose memory is full of what the kernel can't take back keeps losing its own program, and reads it from the disk
// again. The kernel takes that for progress, so it kills nothing. Such a step has almost no file in memory, while it reads
// many pages again, for a time that no usable program spends like that.
#define STARVED_FILE_BYTES (4u << 20)
#define STARVED_REFAULTS 500
#define STARVED_MS 10000
// The kernel brings the counts of a cgroup up to date every two seconds.
#define LOOK_MS 3000
static struct {
  uint64_t limit, refaults, looked_ms, fed_ms;
  bool starved;
} memory;

static int write_setting(const char *cgroup, const char *name, const char *text) {
  char path[96];
  snprintf(path, sizeof path, "%s/%s", cgroup, name);
  return write_text(path, text);
}

static int write_value(const char *cgroup, const char *name, uint64_t value) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  return write_setting(cgroup, name, text);
}

int make_limited_cgroup(const char *path, const struct cgroup_limits *limits) {
  int error = write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu");
  if (!error && mkdir(path, 0755) < 0) error = errno;
  if (error) return error;
  if (limits->memory_bytes) error = write_value(path, "memory.max", limits->memory_bytes);
  // Swap would raise the limit. Without swap the file does not exist.
  if (!error && limits->memory_bytes) write_setting(path, "memory.swap.max", "0");
  if (!error && limits->pids) error = write_value(path, "pids.max", limits->pids);
  char quota[64];
  snprintf(quota, sizeof quota, "%llu 100000", (unsigned long long)limits->cpu_micros);
  if (!error && limits->cpu_micros) error = write_setting(path, "cpu.max", quota);
  if (error) rmdir(path);
  return error;
}

const char *make_cgroup(const struct step_spec *spec) {
  exists = false;
  memset(&memory, 0, sizeof memory);
  if (shared_kernel) {
    errno = ENOTSUP;
    return spec->memory_bytes || spec->pids || spec->cpu_micros ? "cgroup limits need a kernel of the guest's own" : NULL;
  }
  struct cgroup_limits limits = {spec->memory_bytes, spec->pids, spec->cpu_micros};
  errno = make_limited_cgroup(CGROUP, &limits);
  exists = errno == 0;
  if (exists) memory.limit = spec->memory_bytes;
  return exists ? NULL : "can't create the step's cgroup";
}

void enter_cgroup(void) {
  if (exists && write_text(CGROUP "/cgroup.procs", "0")) setup_failed("cgroup");
}

static bool read_setting(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, size - 1);
  if (file >= 0) close(file);
  text[length < 0 ? 0 : length] = 0;
  return length >= 0;
}

// The number behind a name in a file of a cgroup. 0 without the file or such a line.
static uint64_t counter(const char *path, const char *name) {
  char text[4096];
  if (!read_setting(path, text, sizeof text)) return 0;
  for (char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    size_t size = strlen(name);
    if (!strncmp(line, name, size) && line[size] == ' ') return strtoull(line + size + 1, NULL, 10);
  }
  return 0;
}

static uint64_t oom_kills(void) { return counter(CGROUP "/memory.events", "oom_kill"); }

bool cgroup_oom_killed(const char *events) { return counter(events, "oom_kill") > 0; }

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int memory_look_ms(void) { return exists && memory.limit && !memory.starved ? LOOK_MS : -1; }

bool step_starves(void) {
  uint64_t now = now_ms(), passed = now - memory.looked_ms;
  if (memory_look_ms() < 0 || passed < LOOK_MS) return false;
  char text[32];
  uint64_t used = read_setting(CGROUP "/memory.current", text, sizeof text) ? strtoull(text, NULL, 10) : 0;
  // Without the pages of tmpfs.
  uint64_t files = counter(CGROUP "/memory.stat", "active_file") + counter(CGROUP "/memory.stat", "inactive_file");
  uint64_t refaults = counter(CGROUP "/memory.stat", "workingset_refault_file");
  bool is_full = used >= memory.limit - memory.limit / 50 && files < STARVED_FILE_BYTES;
  bool starves = is_full && (refaults - memory.refaults) * 1000 / passed >= STARVED_REFAULTS;
  memory.refaults = refaults;
  memory.looked_ms = now;
  if (!starves) memory.fed_ms = now;
  memory.starved = now - memory.fed_ms >= STARVED_MS;
  return memory.starved;
}

bool cgroup_had_oom(void) { return oom_kills() > 0 || memory.starved; }

bool cgroup_lacked_memory(void) { return cgroup_had_oom() || counter(CGROUP "/memory.events", "oom") > 0; }

static uint64_t at_most(uint64_t value, uint64_t most) { return value < most ? value : most; }

void put_struck_limits(uint8_t payload[STRUCK_BYTES]) {
  put_number(payload, at_most(oom_kills() + memory.starved, UINT32_MAX), 4);
  put_number(payload + 4, at_most(counter(CGROUP "/pids.events", "max"), UINT32_MAX), 4);
  put_number(payload + 8, counter(CGROUP "/cpu.stat", "throttled_usec"), 8);
}

void remove_cgroup(void) {
  if (exists) rmdir(CGROUP);
  exists = false;
}
