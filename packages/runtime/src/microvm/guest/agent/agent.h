// Declarations shared by the files of the guest agent. The protocol is specified in docs/guest-protocol.md.
#ifndef AIRLOCK_AGENT_H
#define AIRLOCK_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTOCOL_VERSION 1
#define HEADER_BYTES 8
#define FRAME_BYTES 16384
#define PAYLOAD_BYTES (FRAME_BYTES - HEADER_BYTES)
// Bytes that either side may send on a stream before the receiver grants more.
#define INITIAL_CREDIT 65536
#define MAX_CREDIT 1048576
// Credit that a data frame costs beyond its bytes, so that tiny frames can't fill the receiver's memory.
#define FRAME_COST 64
#define OUT_BYTES (8 * FRAME_BYTES)
// Input is read only while this much output fits, so that every call can be answered.
#define OUT_RESERVE (2 * FRAME_BYTES)
// 1 MiB each for the variables of a step, for those of its image, and for the rest.
#define SPEC_BYTES 3145728
#define MAX_ARGUMENTS 4096
// As many variables as fit into 2 MiB where each counts with its `=`, its end and a pointer, as in the kernel.
#define MAX_VARIABLES 196608
#define MAX_GROUPS 1024
#define MAX_FILTER 4096
#define MAX_DISKS 26
#define MAX_DIRECTORIES 1024
#define MAX_HIDDEN 64
#define MAX_TEXT 65536
#define MAX_SERVICES 8
#define MAX_CONNECTIONS 32
#define SERVICE_POLLS (MAX_SERVICES + MAX_CONNECTIONS)
// Bytes in flight in each direction of a connection to a service.
#define SERVICE_CREDIT 32768
// Channels of connections to services have this bit.
#define SERVICE_CHANNEL 0x80000000u

enum frame_type {
  FRAME_HELLO = 1,
  FRAME_CALL,
  FRAME_RESULT,
  FRAME_ERROR,
  FRAME_DATA,
  FRAME_END,
  FRAME_CREDIT,
  FRAME_CANCEL,
  FRAME_EXITED,
  FRAME_OPEN,
  FRAME_RESET,
};

enum method {
  METHOD_SEED = 1,
  METHOD_CLOCK,
  METHOD_MOUNT_IMAGE,
  METHOD_MOUNT_WORKSPACE,
  METHOD_PUT_FILE,
  METHOD_CLEAR_STEP_FILES,
  METHOD_RUN,
  METHOD_SIGNAL,
  METHOD_COUNT_PROCESSES,
  METHOD_READ_FILE,
  METHOD_LIST,
  METHOD_READ_LINK,
  METHOD_REMOVE_FILE,
  METHOD_STATS,
  METHOD_STOP,
  METHOD_POWER_OFF,
  METHOD_NETWORK,
  METHOD_START_DOCKER,
};

enum error_code {
  ERROR_NOT_READY = 1,
  ERROR_BUSY,
  ERROR_INVALID,
  ERROR_NOT_FOUND,
  ERROR_NOT_A_FILE,
  ERROR_TOO_LARGE,
  ERROR_NO_SPACE,
  ERROR_DENIED,
  ERROR_CANCELED,
  ERROR_SYSTEM,
  ERROR_NOT_EXECUTABLE,
  ERROR_OUT_OF_MEMORY,
};

enum place { PLACE_WORKSPACE = 0, PLACE_JOB_FILES, PLACE_STEP_FILES };

// A read position in a received payload. A read past the end clears `ok` and returns zeros.
struct cursor {
  const uint8_t *at;
  size_t left;
  bool ok;
};

uint64_t take_number(struct cursor *cursor, size_t bytes);
// The next bytes of the payload; NULL if there are fewer.
const uint8_t *take_bytes(struct cursor *cursor, size_t bytes);
// A path relative to a tree: at most 4095 bytes, no NUL, no empty, "." or ".." component, "" only if allowed.
bool take_path(struct cursor *cursor, char path[4096], bool may_be_empty);
bool at_end(const struct cursor *cursor);
// Whether a path is relative and has no empty, "." or ".." component, and none that is too long.
bool is_relative(const char *path);

// wire.c
extern int stream_fd;
void put_number(uint8_t *at, uint64_t value, size_t bytes);
size_t out_space(void);
bool out_pending(void);
void send_frame(uint8_t type, uint32_t channel, const void *payload, size_t bytes);
void send_result(uint32_t channel, const void *payload, size_t bytes);
// Answers a call with an error. `error` is an errno, or 0.
void send_error(uint32_t channel, uint8_t code, int error, const char *text);
// As send_error, with the code that fits the errno.
void send_errno(uint32_t channel, int error, const char *text);
void send_credit(uint32_t channel, uint8_t stream, uint32_t bytes);
// Sends what the stream takes. Returns false if the stream has ended.
bool flush_out(void);
// Reads what the stream has. Returns false if the stream has ended.
bool receive_bytes(void);
// Forgets what was received and not handled, and what was not sent.
void forget_frames(void);
// Handles the whole frames of the input, as long as their answers fit into the output.
void process_frames(void);
bool frame_waiting(void);
// Ends the guest after a violation of the protocol.
_Noreturn void die(const char *why);

// calls.c
bool host_has_greeted(void);
void handle_frame(uint8_t type, uint32_t channel, const uint8_t *payload, size_t bytes);

// modules.c
// Loads the kernel's modules that the initrd lists. A guest whose kernel needs none has no list.
void load_modules(void);
// Loads the modules of a directory that its file `list` names, one file name per line, dependencies first. Removes them
// if `remove`. Returns whether all are loaded. `why` receives what failed.
bool load_listed_modules(const char *directory, bool remove, char *why, size_t bytes);

// system.c
extern bool shared_kernel;
extern const char *disk_prefix;
void prepare_guest(void);
// Return whether the call was well formed. The guest ends when the kernel refuses it.
bool seed(uint32_t channel, struct cursor *cursor);
bool set_clock(uint32_t channel, struct cursor *cursor);
void mount_image(uint32_t channel, struct cursor *cursor);
void mount_workspace(uint32_t channel, struct cursor *cursor);
void send_stats(uint32_t channel);
bool image_is_mounted(unsigned index);
bool workspace_is_mounted(void);
// Answers a call that only one kind of agent knows. Returns false if this one does not.
bool other_call(uint8_t method, uint32_t channel, struct cursor *cursor);
_Noreturn void power_off(void);
// Writes a short text into a file. Returns 0 or an errno.
int write_text(const char *path, const char *text);

// network.c
void set_network(uint32_t channel, struct cursor *cursor);

// trees.c
int open_place(enum place place);
int open_beneath(int root, const char *path, int flags);
// Opens the directory of a path's last component, which `name` points to afterwards. Creates it if `create`.
int open_parent(int root, const char *path, bool create, mode_t mode, const char **name);
int clear_directory(int directory);
// Removes up to `budget` entries below a directory that a step has written, at any depth. Returns 1 when it is empty, 0
// when entries are left, -1 with errno when one can't be removed.
int clear_some(int directory, unsigned budget);
// Gives a directory and everything below it to a user, without following links. No process of a step runs meanwhile.
// Returns 0 or an errno.
int give_tree(const char *path, uint32_t uid, uint32_t gid);

// transfers.c
void put_file(uint32_t channel, struct cursor *cursor);
void read_file(uint32_t channel, struct cursor *cursor);
void list_directory(uint32_t channel, struct cursor *cursor);
bool transfer_data(uint32_t channel, const uint8_t *bytes, size_t length);
bool transfer_end(uint32_t channel);
bool transfer_credit(uint32_t channel, uint8_t stream, uint32_t bytes);
void transfer_cancel(uint32_t channel);
bool transfer_can_send(void);
void transfer_send(void);

// paths.c
void read_link(uint32_t channel, struct cursor *cursor);
void remove_file(uint32_t channel, struct cursor *cursor);
void clear_step_files(uint32_t channel);

// step-spec.c
struct limit {
  uint8_t resource;
  uint64_t soft, hard;
};

enum step_flags {
  STEP_NO_NEW_PRIVILEGES = 1,
  STEP_OWN_NETWORK = 2,
  STEP_READ_ONLY_ROOT = 4,
  STEP_USER_NAMESPACE = 8,
  STEP_READ_ONLY_SYS = 16,
  // What the step writes outside its workspace goes to the workspace disk instead of memory.
  STEP_UPPER_ON_DISK = 32,
  // The step finds the socket and the client of the guest's Docker daemon.
  STEP_DOCKER = 64,
  // The step does not see the workspace, which need not be mounted.
  STEP_WITHOUT_WORKSPACE = 128,
};

struct text {
  const uint8_t *bytes;
  size_t length;
};

// A directory that the step finds although its image does not have it.
struct directory {
  const char *path;
  mode_t mode;
  uint32_t uid, gid;
};

struct step_spec {
  unsigned image;
  uint32_t uid, gid, flags;
  uint32_t groups[MAX_GROUPS];
  size_t group_count;
  uint64_t capabilities;
  char *argv[MAX_ARGUMENTS + 1];
  // Static memory that the parser fills, because it is large.
  char **env;
  size_t argc, envc;
  const char *working_directory, *hostname;
  struct limit limits[16];
  size_t limit_count;
  uint64_t memory_bytes, pids, cpu_micros, shm_bytes, upper_bytes;
  const uint8_t *filter;
  size_t filter_count;
  // hosts, hostname and resolv.conf. `bytes` is NULL without the file.
  struct text etc[3];
  struct directory directories[MAX_DIRECTORIES];
  size_t directory_count;
  const char *masked[MAX_HIDDEN], *protected[MAX_HIDDEN];
  size_t masked_count, protected_count;
  uint16_t ports[MAX_SERVICES];
  size_t port_count;
};

// Parses a specification in place: strings point into `bytes`. Returns NULL, or what is wrong.
const char *parse_step_spec(uint8_t *bytes, size_t length, struct step_spec *spec);

// step.c
void run_step(uint32_t channel, struct cursor *cursor);
bool step_data(uint32_t channel, const uint8_t *bytes, size_t length);
bool step_end(uint32_t channel);
bool step_credit(uint32_t channel, uint8_t stream, uint32_t bytes);
void step_cancel(uint32_t channel);
void signal_step(uint32_t channel, struct cursor *cursor);
void count_processes(uint32_t channel);
void stop_steps(uint32_t channel);
// Whether the agent removes what an ended step has written. `step_clear` removes a part of it.
bool step_is_clearing(void);
// Kills the step once it starves for memory.
void end_starved_step(void);
void step_clear(void);
// The descriptors to wait for: stdout, stderr, the messages of the step's first process. -1: not now.
void step_descriptors(int descriptors[3]);
void step_readable(int which);
void reap_children(void);

// step-init.c
// What the first process of a step reports to the agent over its socket.
struct step_message {
  uint8_t kind;
  int32_t value;
  char stage[24];
};
enum {
  // The agent's own preparations failed.
  STEP_FAILED = 'f',
  // The script starts now.
  STEP_STARTS = 's',
  // The kernel refused to execute the step's program.
  STEP_NOT_EXECUTED = 'n',
  STEP_EXITED = 'x',
  STEP_KILLED = 'k',
  STEP_LISTENS = 'l',
};
// How the workspace gets the step's user as its owner.
struct hand_over {
  // A user namespace that exchanges the user's ids with root's, or -1.
  int id_swap;
  bool reclaim;
};
// Runs as process 1 of the step's PID namespace.
_Noreturn void step_init(const struct step_spec *spec, int messages, struct hand_over owner);
extern int messages_fd;
_Noreturn void setup_failed(const char *stage);

// services.c
// Takes over the listening sockets of the step that starts.
void take_listeners(const int *descriptors, const uint16_t *ports, size_t count);
// Ends all connections and listening sockets of the step that ended.
void end_services(void);
size_t service_descriptors(struct pollfd polled[SERVICE_POLLS]);
void serve_connections(const struct pollfd polled[SERVICE_POLLS]);
void service_frame(uint8_t type, uint32_t channel, const uint8_t *payload, size_t bytes);

// step-listen.c
void open_services(const struct step_spec *spec);
// Receives a message of the step's first process with the descriptors that it passes.
ssize_t receive_message(int socket_fd, struct step_message *message, int descriptors[MAX_SERVICES], size_t *count);

// step-root.c
#define DISK_UPPER "/run/airlock/workspace/upper"
// Upper layers of canceled steps, which are removed while other calls run.
#define DISK_REMOVED "/run/airlock/workspace/removed"
void make_root(const struct step_spec *spec, int id_swap);

// step-owner.c
// Whether files that an earlier step gave to other ids must become root's before this step.
bool must_reclaim(const struct step_spec *spec);
// Notes the end of a step, and whether its script has ended by itself.
void workspace_used(const struct step_spec *spec, bool reclaimed, bool ran);
// These two return 0 or an errno.
int reclaim_workspace(void);
int give_files(const struct step_spec *spec);
// A descriptor of a new user namespace. Returns -1 with errno on failure.
int make_id_swap(const struct step_spec *spec);
void mount_data(int point, int id_swap);

// step-upper.c
void fill_upper(const struct step_spec *spec, int upper);

// docker.c
#define DOCKER_CGROUP "/sys/fs/cgroup/docker"
// A tmpfs with the daemon's socket and other short-lived files. The daemon sees it as /run.
#define DOCKER_RUN "/run/airlock/docker"
// The daemon's files on the workspace disk, beside the workspace.
#define DOCKER_FILES "/run/airlock/workspace/docker"
#define MAX_DOCKER_ARGUMENTS 64
void start_docker(uint32_t channel, struct cursor *cursor);
bool docker_runs(void);
// The daemon's disk, which has its client as well.
const char *docker_root(void);
bool docker_credit(uint32_t channel, uint8_t stream, uint32_t bytes);
void docker_cancel(uint32_t channel);
// Kills the daemon and its containers, and waits for their end.
void stop_docker(void);
// The descriptors to wait for: the daemon's log, and the message that it answers. -1: not now.
void docker_descriptors(int descriptors[2]);
void docker_readable(int which);
void docker_reaped(pid_t pid);

// docker-init.c
struct docker_spec {
  // The arguments of both programs and the variables of dockerd, each list with a NULL at its end.
  char *arguments[MAX_DOCKER_ARGUMENTS + 3];
  char **containerd, **dockerd, **variables;
  // A byte goes to this descriptor once the daemon answers.
  int answers;
};
// Runs as process 1 of the daemon's PID namespace. Its output is the log.
_Noreturn void docker_init(const struct docker_spec *spec);

// step-docker.c
void show_docker(int root);

// step-hidden.c
void hide_paths(const struct step_spec *spec, int root);

// step-cgroup.c
struct cgroup_limits {
  // 0: no limit.
  uint64_t memory_bytes, pids, cpu_micros;
};
// Creates a cgroup directly below the root. Returns 0 or an errno.
int make_limited_cgroup(const char *path, const struct cgroup_limits *limits);
// Whether the kernel killed a process for lack of memory, by the path of a cgroup's file memory.events.
bool cgroup_oom_killed(const char *events);
// Creates the step's cgroup with its limits. Returns NULL, or what failed, with errno.
const char *make_cgroup(const struct step_spec *spec);
void remove_cgroup(void);
bool cgroup_had_oom(void);
// Milliseconds until the next look at the step's memory. -1: there is nothing to look at.
int memory_look_ms(void);
// Whether the step, which has reached its memory limit, has read its own program again and again for 10 s. To be called
// again and again. True once: the caller ends the step.
bool step_starves(void);
// Whether the step was refused memory, even if nothing was killed for it.
bool cgroup_lacked_memory(void);
#define STRUCK_BYTES 16
// OOM kills, refused forks and throttled microseconds of the step, as in the result of its call.
void put_struck_limits(uint8_t payload[STRUCK_BYTES]);
void enter_cgroup(void);

#endif
