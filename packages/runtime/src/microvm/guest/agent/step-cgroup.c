// The cgroup (version 2) of the step that runs, inside the guest.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CGROUP "/sys/fs/cgroup/step"
static bool exists;

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
  if (shared_kernel) {
    errno = ENOTSUP;
    return spec->memory_bytes || spec->pids || spec->cpu_micros ? "cgroup limits need a kernel of the guest's own" : NULL;
  }
  struct cgroup_limits limits = {spec->memory_bytes, spec->pids, spec->cpu_micros};
  errno = make_limited_cgroup(CGROUP, &limits);
  exists = errno == 0;
  return exists ? NULL : "can't create the step's cgroup";
}

void enter_cgroup(void) {
  if (exists && write_text(CGROUP "/cgroup.procs", "0")) setup_failed("cgroup");
}

// The number behind a name in a file of a cgroup. 0 without the file or such a line.
static uint64_t counter(const char *path, const char *name) {
  char text[2048];
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  if (length < 0) return 0;
  text[length] = 0;
  for (char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    size_t size = strlen(name);
    if (!strncmp(line, name, size) && line[size] == ' ') return strtoull(line + size + 1, NULL, 10);
  }
  return 0;
}

static uint64_t oom_kills(void) { return counter(CGROUP "/memory.events", "oom_kill"); }

bool cgroup_oom_killed(const char *events) { return counter(events, "oom_kill") > 0; }

bool cgroup_had_oom(void) { return oom_kills() > 0; }

bool cgroup_lacked_memory(void) { return oom_kills() > 0 || counter(CGROUP "/memory.events", "oom") > 0; }

static uint64_t at_most(uint64_t value, uint64_t most) { return value < most ? value : most; }

void put_struck_limits(uint8_t payload[STRUCK_BYTES]) {
  put_number(payload, at_most(oom_kills(), UINT32_MAX), 4);
  put_number(payload + 4, at_most(counter(CGROUP "/pids.events", "max"), UINT32_MAX), 4);
  put_number(payload + 8, counter(CGROUP "/cpu.stat", "throttled_usec"), 8);
}

void remove_cgroup(void) {
  if (exists) rmdir(CGROUP);
  exists = false;
}
