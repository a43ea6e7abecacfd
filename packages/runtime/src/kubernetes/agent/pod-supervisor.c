// The first process of a step's container. It waits for the order to run the step's script, and reaps what the step leaves
// behind. No process of the step can trace it, because it is not dumpable, or end it, because it is process 1.
#include "pod.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static int agent = -1;
static uint8_t spec_bytes[SPEC_BYTES];
static struct step_spec spec;

static void report(uint8_t kind, int32_t value, bool out_of_memory, uint32_t count, const char *stage) {
  struct packet packet = {.kind = kind, .value = value, .out_of_memory = out_of_memory, .count = count};
  snprintf(packet.stage, sizeof packet.stage, "%s", stage);
  // The step must not go on without the agent.
  if (!send_packet(agent, &packet, NULL, 0)) _exit(1);
}

void setup_failed(const char *stage) {
  report(PACKET_FAILED, errno, false, 0, stage);
  _exit(1);
}

// Kills for lack of memory in this container, whichever limit was reached.
static uint32_t oom_kills(void) {
  static const char *const files[] = {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char text[512] = {0};
    int file = open(files[i], O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    const char *at = got > 0 ? strstr(text, "oom_kill ") : NULL;
    if (at) return (uint32_t)strtoul(at + strlen("oom_kill "), NULL, 10);
  }
  return 0;
}

// The processes of this PID namespace except this one.
static uint32_t count_others(void) {
  uint32_t count = 0;
  DIR *listing = opendir("/proc");
  for (struct dirent *entry; listing && (entry = readdir(listing));) {
    char path[64], state[512] = {0};
    if (!isdigit((unsigned char)*entry->d_name) || !strcmp(entry->d_name, "1")) continue;
    snprintf(path, sizeof path, "/proc/%.20s/stat", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ssize_t got = read(file, state, sizeof state - 1);
    close(file);
    const char *name_end = got > 0 ? strrchr(state, ')') : NULL;
    if (name_end && name_end[1] && name_end[2] != 'Z') count++;
  }
  if (listing) closedir(listing);
  return count;
}

static void connect_agent(const char *token) {
  struct packet packet = {.kind = PACKET_READY};
  for (int i = 0; i < TOKEN_BYTES; i++) {
    char digits[3] = {token[2 * i], token[2 * i + 1], 0};
    packet.token[i] = (uint8_t)strtoul(digits, NULL, 16);
  }
  if (access("/bin/sh", X_OK) < 0) packet.value = errno;
  agent = connect_to(STEPS_SOCKET_OF_STEP);
  if (agent < 0 || !send_packet(agent, &packet, NULL, 0)) {
    dprintf(STDERR_FILENO, "airlock-pod-agent: can't reach the agent: %s\n", strerror(errno));
    _exit(1);
  }
}

// Waits for the order. Returns whether there is one.
static bool take_order(void) {
  struct packet packet;
  int memory[MAX_PASSED];
  size_t count;
  if (receive_packet(agent, &packet, memory, &count) != (ssize_t)sizeof packet || packet.kind != PACKET_RUN) return false;
  if (count != 1 || packet.count > sizeof spec_bytes) return false;
  if (pread(memory[0], spec_bytes, packet.count, 0) != (ssize_t)packet.count) return false;
  close(memory[0]);
  const char *problem = parse_step_spec(spec_bytes, packet.count, &spec);
  if (!problem) return true;
  errno = EINVAL;
  setup_failed(problem);
}

static size_t name_length(const char *variable) { return (size_t)(strchrnul(variable, '=') - variable); }

// Whether the step sets this variable, or Kubernetes has added it to those of the image.
static bool is_replaced(const char *variable) {
  if (!strncmp(variable, "KUBERNETES_", 11)) return true;
  size_t length = name_length(variable);
  for (size_t i = 0; i < spec.envc; i++)
    if (name_length(spec.env[i]) == length && !strncmp(spec.env[i], variable, length)) return true;
  return false;
}

// Environment of the image, replaced by that of the step.
static char **merged_environment(void) {
  size_t count = 0;
  while (environ[count]) count++;
  char **merged = calloc(count + spec.envc + 1, sizeof *merged);
  if (!merged) setup_failed("environment");
  size_t used = 0;
  for (size_t i = 0; i < count; i++)
    if (!is_replaced(environ[i])) merged[used++] = environ[i];
  for (size_t i = 0; i < spec.envc; i++) merged[used++] = spec.env[i];
  return merged;
}

static void enter_directory(const char *path) {
  char part[4097];
  size_t length = strlen(path);
  int error = 0;
  for (size_t i = 1; i <= length; i++) {
    if (i < length && path[i] != '/') continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST && !error) error = errno;
  }
  if (chdir(path) == 0) return;
  dprintf(STDERR_FILENO, "cannot enter the working directory %s: %s\n", path, strerror(error ? error : errno));
  _exit(126);
}

// The executor may run on another architecture, so its filter is always that of x86-64. On other nodes only the container
// runtime's own profile applies.
static void set_filter(void) {
#ifdef __x86_64__
  static struct sock_filter filter[MAX_FILTER];
  if (spec.filter_count == 0) return;
  memcpy(filter, spec.filter, spec.filter_count * sizeof *filter);
  struct sock_fprog program = {.len = (unsigned short)spec.filter_count, .filter = filter};
  // The kubelet has set it, too. Without it only an administrator may set filters.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
    setup_failed("seccomp");
#endif
}

static _Noreturn void become_script(int out, int err) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  if (dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(1);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0) setup_failed("/dev/null");
  if (setsid() < 0) setup_failed("session");
  // A process that is not dumpable can't write its own files below /proc.
  prctl(PR_SET_DUMPABLE, 1);
  // When memory runs out, the kernel should kill the step's processes before the supervisor and the agent.
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0 || write(score, "1000", 4) != 4) setup_failed("oom_score_adj");
  close(score);
  for (size_t i = 0; i < spec.limit_count; i++) {
    struct rlimit limit = {.rlim_cur = spec.limits[i].soft, .rlim_max = spec.limits[i].hard};
    struct rlimit present;
    if (getrlimit(spec.limits[i].resource, &present) < 0) setup_failed("resource limit");
    if (limit.rlim_max > present.rlim_max) limit.rlim_max = present.rlim_max;
    if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    if (setrlimit(spec.limits[i].resource, &limit) < 0) setup_failed("resource limit");
  }
  char **merged = merged_environment();
  umask(022);
  enter_directory(spec.working_directory);
  set_filter();
  execve(spec.argv[0], spec.argv, merged);
  setup_failed("execve");
}

static void answer(const struct packet *order) {
  struct packet packet = {.kind = PACKET_COUNT, .channel = order->channel, .count = count_others()};
  if (order->value) kill(-1, order->value);
  if (!send_packet(agent, &packet, NULL, 0)) _exit(1);
}

static pid_t script;
static uint32_t kills_before;

// Reaps ended processes, and reports the end of the script. Returns whether processes are left.
static bool reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) != 0;) {
    if (pid < 0) return errno != ECHILD;
    if (pid != script) continue;
    script = 0;
    bool out_of_memory = oom_kills() > kills_before;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    // A shell whose program was killed exits with this code, too.
    bool killed = out_of_memory && code == 128 + SIGKILL;
    report(killed ? PACKET_KILLED : PACKET_EXITED, killed ? SIGKILL : code, out_of_memory, count_others(), "");
  }
  return true;
}

static _Noreturn void end_all(int code) {
  // A process that forks faster than it is killed runs out of process ids of its own.
  while (kill(-1, SIGKILL) == 0 || errno != ESRCH)
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  _exit(code);
}

static _Noreturn void wait_for_end(int children) {
  for (;;) {
    struct pollfd polled[] = {{.fd = agent, .events = POLLIN}, {.fd = children, .events = POLLIN}};
    if (poll(polled, 2, -1) < 0 && errno != EINTR) end_all(1);
    struct signalfd_siginfo info;
    if (polled[1].revents) (void)!read(children, &info, sizeof info);
    if (!reap()) {
      report(PACKET_GONE, 0, false, oom_kills() - kills_before, "");
      _exit(0);
    }
    if (!polled[0].revents) continue;
    struct packet packet;
    int descriptors[MAX_PASSED];
    size_t count;
    if (receive_packet(agent, &packet, descriptors, &count) != (ssize_t)sizeof packet) end_all(1);
    if (packet.kind == PACKET_SIGNAL) answer(&packet);
  }
}

static int listen_on(uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  // Connections of an earlier step may still be in TIME_WAIT.
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
    setup_failed("port of a service");
  return fd;
}

// Opens the ports of the step's services, and hands the sockets to the agent.
void open_services(const struct step_spec *step) {
  struct packet packet = {.kind = PACKET_LISTENS};
  int listeners[MAX_SERVICES];
  for (size_t i = 0; i < step->port_count; i++) {
    packet.ports[i] = step->ports[i];
    listeners[i] = listen_on(step->ports[i]);
  }
  if (step->port_count > 0 && !send_packet(agent, &packet, listeners, step->port_count)) _exit(1);
  for (size_t i = 0; i < step->port_count; i++) close(listeners[i]);
}

void supervise(const char *token) {
  prctl(PR_SET_DUMPABLE, 0);
  signal(SIGPIPE, SIG_IGN);
  if (strlen(token) != 2 * TOKEN_BYTES || getpid() != 1) _exit(2);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  int children = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  connect_agent(token);
  if (!take_order()) _exit(0);
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) setup_failed("pipe");
  struct packet packet = {.kind = PACKET_OUTPUT};
  int readers[] = {out[0], err[0]};
  if (!send_packet(agent, &packet, readers, 2)) _exit(1);
  open_services(&spec);
  kills_before = oom_kills();
  script = fork();
  if (script < 0) setup_failed("fork");
  if (script == 0) become_script(out[1], err[1]);
  // Only processes of the step hold its output from now on.
  close(out[0]), close(out[1]), close(err[0]), close(err[1]);
  explicit_bzero(spec_bytes, sizeof spec_bytes);
  wait_for_end(children);
}
