// Makes raw system calls, each in a process of its own, and prints "ok", the error number, or the signal that ended it.
// Arguments: TABLE:NUMBER:ARGUMENT,… with the table 64, 32 or x32. After an argument "@" come the 32-bit words to which
// it points.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000L

static long call64(long number, const long *a) {
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static long call32(long number, const long *a) {
  long result;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "0"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                   : "r8", "r9", "r10", "r11", "memory");
  return (int)result;
}

static _Noreturn void make_call(const char *table, long number, char *arguments) {
  // Below 4 GiB, so that 32-bit calls can name it.
  uint32_t *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (words == MAP_FAILED) _exit(126);
  long values[6] = {0};
  char *next = arguments;
  int word = -1;
  for (int i = 0; next && *next; i++) {
    char *part = strsep(&next, ",");
    if (word >= 0) words[word++] = (uint32_t)strtoul(part, NULL, 0);
    else if (strcmp(part, "@") == 0) values[i] = (long)words, word = 0;
    else values[i] = (long)strtoull(part, NULL, 0);
  }
  long result = strcmp(table, "32") == 0 ? call32(number, values)
                                         : call64(strcmp(table, "x32") == 0 ? number | X32_BIT : number, values);
  _exit(result < 0 ? (int)-result : 0);
}

int main(int count, char **specs) {
  for (int i = 1; i < count; i++) {
    char *next = specs[i];
    char *table = strsep(&next, ":");
    long number = atol(strsep(&next, ":"));
    pid_t pid = fork();
    if (pid == 0) make_call(table, number, next);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
    if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status)) printf("%d\n", WEXITSTATUS(status));
    else printf("ok\n");
  }
  return 0;
}
