// The first process of the Docker daemon's PID namespace. It assembles the daemon's root, tells the agent when the
// daemon answers, and reaps what containers leave behind.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MERGED "/run/airlock/merged"
#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define SOCKET "/run/docker.sock"
#define CONTAINERD_SOCKET "/run/containerd/containerd.sock"
// As many open files as dockerd's own service gives it at most.
#define OPEN_FILES 1048576

static _Noreturn void fail(const char *what) {
  dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

// The daemon's cgroup becomes the root of its cgroup namespace. Only a cgroup without processes can pass controllers on
// to those of containers, so the daemon itself is in one below it.
static void enter_cgroup_namespace(void) {
  if ((errno = write_text(DOCKER_CGROUP "/cgroup.procs", "0"))) fail("cgroup of Docker");
  if (unshare(CLONE_NEWCGROUP) < 0) fail("cgroup namespace");
  if (mkdir(DOCKER_CGROUP "/daemon", 0755) < 0) fail("cgroup of the daemon");
  if ((errno = write_text(DOCKER_CGROUP "/daemon/cgroup.procs", "0"))) fail("cgroup of the daemon");
  if ((errno = write_text(DOCKER_CGROUP "/cgroup.subtree_control", "+memory +pids +cpu"))) fail("cgroups of containers");
}

static void mount_to(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  if (mkdir(target, 0755) < 0 && errno != EEXIST) fail(target);
  if (mount(source, target, type, flags, data) < 0) fail(target);
}

static void make_docker_root(void) {
  char options[256];
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("propagation");
  snprintf(options, sizeof options, "lowerdir=%s,upperdir=" DOCKER_FILES "/upper,workdir=" DOCKER_FILES "/work",
           docker_root());
  if (mount("overlay", MERGED, "overlay", 0, options) < 0 || chdir(MERGED) < 0) fail("root of Docker");
  mount_to("proc", "proc", "proc", QUIET, NULL);
  mount_to("sysfs", "sys", "sysfs", QUIET, NULL);
  mount_to("cgroup2", "sys/fs/cgroup", "cgroup2", QUIET, NULL);
  mount_to("devtmpfs", "dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL);
  mount_to("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_to("tmpfs", "dev/shm", "tmpfs", QUIET, "mode=1777,size=64m");
  mount_to("mqueue", "dev/mqueue", "mqueue", QUIET, NULL);
  mount_to(DOCKER_RUN, "run", NULL, MS_BIND, NULL);
  mount_to(DOCKER_FILES "/data", "var/lib/docker", NULL, MS_BIND, NULL);
  // Volumes of containers name the workspace and the job's files by the paths that steps use.
  mount_to("/run/airlock/workspace/data", "data", NULL, MS_BIND, NULL);
  mount_to("/run/airlock/files/job", "airlock", NULL, MS_BIND, NULL);
  if (mount(NULL, "airlock", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0) fail("airlock");
  if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) fail("pivot_root");
}

// Returns -1 if nobody listens.
static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) fail("socket");
  if (connect(connection, (struct sockaddr *)&address, sizeof address) == 0) return connection;
  close(connection);
  return -1;
}

static void wait_a_moment(void) { nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL); }

// Whether the daemon answers a request.
static bool pings(void) {
  static const char request[] = "GET /_ping HTTP/1.0\r\n\r\n", expected[] = " 200 ";
  char answer[16] = "";
  int connection = connect_to(SOCKET);
  if (connection < 0) return false;
  bool answered = write(connection, request, sizeof request - 1) == (ssize_t)sizeof request - 1 &&
                  recv(connection, answer, sizeof answer - 1, MSG_WAITALL) > 0 && strstr(answer, expected);
  close(connection);
  return answered;
}

// Tells the agent when the daemon answers. Steps of any user may then use it.
static _Noreturn void await_answer(int answers) {
  while (!pings()) wait_a_moment();
  if (chmod(SOCKET, 0666) < 0) fail(SOCKET);
  _exit(write(answers, "a", 1) == 1 ? 0 : 1);
}

static _Noreturn void become(char **arguments, char **variables) {
  static char *environment[MAX_DOCKER_ARGUMENTS + 3] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"};
  for (size_t i = 0; variables && variables[i]; i++) environment[i + 2] = variables[i];
  setsid();
  execve(arguments[0], arguments, environment);
  fail(arguments[0]);
}

static pid_t start_process(void) {
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  return pid;
}

void docker_init(const struct docker_spec *spec) {
  char why[320];
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0) fail("/dev/null");
  int answers = 3;
  if (dup3(spec->answers, answers, O_CLOEXEC) < 0) fail("pipe");
  syscall(SYS_close_range, 4U, ~0U, 0U);
  struct rlimit files = {OPEN_FILES, OPEN_FILES};
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) fail("limit of open files");
  umask(022);
  enter_cgroup_namespace();
  char modules[64];
  snprintf(modules, sizeof modules, "%s/modules", docker_root());
  if (!load_listed_modules(modules, false, why, sizeof why)) {
    dprintf(STDERR_FILENO, "%s\n", why);
    _exit(1);
  }
  make_docker_root();
  pid_t containerd = start_process();
  if (containerd == 0) become(spec->containerd, NULL);
  // dockerd would start it as well, but gives it only 15 s to answer.
  pid_t dockerd = start_process();
  if (dockerd == 0) {
    for (int connection; (connection = connect_to(CONTAINERD_SOCKET)) < 0; wait_a_moment()) continue;
    become(spec->dockerd, spec->variables);
  }
  if (start_process() == 0) await_answer(answers);
  // The agent sees the end of this pipe if the process that waits for the answer fails.
  close(answers);
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid != containerd && pid != dockerd) continue;
    const char *name = pid == dockerd ? "dockerd" : "containerd";
    if (WIFSIGNALED(status)) dprintf(STDERR_FILENO, "%s was ended by signal %d\n", name, WTERMSIG(status));
    else dprintf(STDERR_FILENO, "%s exited with %d\n", name, WEXITSTATUS(status));
    // The end of this process ends the containers as well.
    _exit(1);
  }
}
