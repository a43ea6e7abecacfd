// Parses the specification of a step: fields of one tag byte, a length of four bytes, and the value.
#include "agent.h"

#include <string.h>

enum field {
  FIELD_IMAGE = 1,
  FIELD_ARGUMENT,
  FIELD_ENVIRONMENT,
  FIELD_WORKING_DIRECTORY,
  FIELD_USER,
  FIELD_GROUP,
  FIELD_HOSTNAME,
  FIELD_CAPABILITIES,
  FIELD_FLAGS,
  FIELD_FILTER,
  FIELD_LIMIT,
  FIELD_MEMORY,
  FIELD_PIDS,
  FIELD_CPU,
  FIELD_SHM,
  FIELD_UPPER,
  FIELD_ETC,
  FIELD_DIRECTORY,
  FIELD_MASKED,
  FIELD_PROTECTED,
  FIELD_PORT,
};

// The string of a field. The byte before it is moved over its length, so that a zero can follow it.
static char *text_of(uint8_t *value, size_t length) {
  if (memchr(value, 0, length)) return NULL;
  memmove(value - 1, value, length);
  value[length - 1] = 0;
  return (char *)value - 1;
}

static bool take_single(uint64_t *into, struct cursor *cursor, size_t bytes) {
  *into = take_number(cursor, bytes);
  return at_end(cursor);
}

static bool take_etc(struct step_spec *spec, struct cursor *cursor) {
  size_t which = take_number(cursor, 1);
  if (!cursor->ok || which > 2 || spec->etc[which].bytes || cursor->left > MAX_TEXT) return false;
  spec->etc[which] = (struct text){cursor->at, cursor->left};
  return true;
}

static bool take_directory(struct step_spec *spec, struct cursor *cursor, uint8_t *value) {
  if (spec->directory_count == MAX_DIRECTORIES) return false;
  struct directory *directory = &spec->directories[spec->directory_count++];
  directory->mode = (mode_t)take_number(cursor, 2);
  directory->uid = (uint32_t)take_number(cursor, 4);
  directory->gid = (uint32_t)take_number(cursor, 4);
  if (!cursor->ok || directory->mode > 07777 || directory->uid == UINT32_MAX || directory->gid == UINT32_MAX) return false;
  return cursor->left < 4096 && (directory->path = text_of(value + 10, cursor->left)) && is_relative(directory->path);
}

// Other paths belong to the image, whose links could lead elsewhere.
static bool take_hidden(const char **into, uint8_t *value, size_t length) {
  const char *path = length < 4096 ? text_of(value, length) : NULL;
  *into = path;
  return path && (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5)) && is_relative(path + 1);
}

static bool parse_field(struct step_spec *spec, uint8_t tag, uint8_t *value, size_t length) {
  struct cursor cursor = {value, length, true};
  uint64_t number = 0;
  switch (tag) {
    case FIELD_IMAGE:
      if (!take_single(&number, &cursor, 1)) return false;
      spec->image = (unsigned)number;
      return true;
    case FIELD_ARGUMENT:
      return spec->argc < MAX_ARGUMENTS && (spec->argv[spec->argc++] = text_of(value, length));
    case FIELD_ENVIRONMENT:
      return spec->envc < MAX_VARIABLES && (spec->env[spec->envc++] = text_of(value, length));
    case FIELD_WORKING_DIRECTORY:
      return length < 4096 && (spec->working_directory = text_of(value, length));
    case FIELD_USER:
      spec->uid = (uint32_t)take_number(&cursor, 4);
      spec->gid = (uint32_t)take_number(&cursor, 4);
      return at_end(&cursor) && spec->uid != UINT32_MAX && spec->gid != UINT32_MAX;
    case FIELD_GROUP:
      if (spec->group_count == MAX_GROUPS || !take_single(&number, &cursor, 4)) return false;
      spec->groups[spec->group_count++] = (uint32_t)number;
      return true;
    case FIELD_HOSTNAME:
      return length > 0 && length <= 64 && (spec->hostname = text_of(value, length));
    case FIELD_CAPABILITIES: return take_single(&spec->capabilities, &cursor, 8);
    case FIELD_FLAGS:
      if (!take_single(&number, &cursor, 4) || number > 255) return false;
      spec->flags = (uint32_t)number;
      return true;
    case FIELD_FILTER:
      if (length == 0 || length % 8 || length / 8 > MAX_FILTER) return false;
      spec->filter = value;
      spec->filter_count = length / 8;
      return true;
    case FIELD_LIMIT: {
      if (spec->limit_count == 16) return false;
      struct limit *limit = &spec->limits[spec->limit_count++];
      limit->resource = (uint8_t)take_number(&cursor, 1);
      limit->soft = take_number(&cursor, 8);
      limit->hard = take_number(&cursor, 8);
      return at_end(&cursor) && limit->resource < 16 && limit->soft <= limit->hard;
    }
    case FIELD_MEMORY: return take_single(&spec->memory_bytes, &cursor, 8);
    case FIELD_PIDS: return take_single(&spec->pids, &cursor, 8);
    case FIELD_CPU: return take_single(&spec->cpu_micros, &cursor, 8);
    case FIELD_SHM: return take_single(&spec->shm_bytes, &cursor, 8);
    case FIELD_UPPER: return take_single(&spec->upper_bytes, &cursor, 8) && spec->upper_bytes > 0;
    case FIELD_ETC: return take_etc(spec, &cursor);
    case FIELD_DIRECTORY: return take_directory(spec, &cursor, value);
    case FIELD_MASKED:
      return spec->masked_count < MAX_HIDDEN && take_hidden(&spec->masked[spec->masked_count++], value, length);
    case FIELD_PROTECTED:
      return spec->protected_count < MAX_HIDDEN && take_hidden(&spec->protected[spec->protected_count++], value, length);
    case FIELD_PORT:
      if (spec->port_count == MAX_SERVICES || !take_single(&number, &cursor, 2) || number == 0) return false;
      spec->ports[spec->port_count++] = (uint16_t)number;
      return true;
    default: return false;
  }
}

static const char *const problems[] = {
    "an unknown field of the step",     "the image of the step",     "an argument of the step",
    "an environment variable",          "the working directory",     "the user of the step",
    "a group of the step",              "the host name",             "the capabilities",
    "the flags of the step",            "the seccomp filter",        "a resource limit",
    "the memory limit",                 "the limit of processes",    "the CPU limit",
    "the size of /dev/shm",             "the size of the upper layer",
    "a file of /etc",                   "a directory to create",     "a path to hide",
    "a path to protect",                "a port of a service",
};

const char *parse_step_spec(uint8_t *bytes, size_t length, struct step_spec *spec) {
  static char *variables[MAX_VARIABLES + 1];
  memset(spec, 0, sizeof *spec);
  spec->env = variables;
  struct cursor cursor = {bytes, length, true};
  while (cursor.left > 0) {
    uint8_t tag = (uint8_t)take_number(&cursor, 1);
    size_t size = take_number(&cursor, 4);
    const uint8_t *value = take_bytes(&cursor, size);
    if (!value) return "the step's specification is cut off";
    if (!parse_field(spec, tag, bytes + (value - bytes), size)) return problems[tag <= FIELD_PORT ? tag : 0];
  }
  variables[spec->envc] = NULL;
  if (spec->argc == 0 || spec->argv[0][0] != '/') return "the program of the step is not an absolute path";
  if (!spec->working_directory || spec->working_directory[0] != '/') return "the working directory is not absolute";
  if (!spec->upper_bytes && !(spec->flags & STEP_UPPER_ON_DISK)) return "the size of the upper layer is missing";
  return NULL;
}
