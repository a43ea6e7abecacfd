// Stands in for QEMU as a guest's code would run in it after an attack: it runs no machine, but prints what it sees of
// the host and what it can do there, and ends.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static void list(const char *path) {
  DIR *directory = opendir(path);
  fprintf(stderr, "%s:", path);
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) fprintf(stderr, " %s", entry->d_name);
  fprintf(stderr, "\n");
  if (directory != NULL) closedir(directory);
}

static void try_paths(const char *what, const char *const *paths, size_t count, int flags) {
  fprintf(stderr, "%s:", what);
  for (size_t i = 0; i < count; i++) {
    int file = open(paths[i], flags, 0600);
    if (file < 0) continue;
    fprintf(stderr, " %s", paths[i]);
    close(file);
  }
  fprintf(stderr, "\n");
}

static void print_limit(const char *name, int which) {
  struct rlimit limit = {0};
  getrlimit(which, &limit);
  fprintf(stderr, "%s: %llu %llu\n", name, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
}

int main(int argc, char **argv) {
  static const char *const files[] = {"/etc/passwd", "/etc/ld.so.cache", "/proc/self/status", "/proc/1/environ",
                                      "/sys/kernel", "/dev/null",        "/home",             "/root",
                                      "/opt",        "/run",             "/var",              "/usr/bin/env"};
  static const char *const new_files[] = {"/x", "/machine/x", "/usr/bin/x", "/old/x", "/dev/x"};
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts("QEMU emulator version 0 (stand-in)") < 0;
  if (argc > 1 && strcmp(argv[1], "-L") == 0) return 0;
  list("/");
  list("/..");
  list("/old");
  list("/proc");
  try_paths("read", files, COUNT(files), O_RDONLY);
  try_paths("made", new_files, COUNT(new_files), O_WRONLY | O_CREAT);
  fprintf(stderr, "processes:");
  for (int pid = 1; pid <= 100000; pid++)
    if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH)) fprintf(stderr, " %d", pid);
  fprintf(stderr, "\n");
  print_limit("core", RLIMIT_CORE);
  print_limit("file size", RLIMIT_FSIZE);
  print_limit("files", RLIMIT_NOFILE);
  char host[100] = "";
  gethostname(host, sizeof(host) - 1);
  fprintf(stderr, "host: %s\n", host);
  return 1;
}
