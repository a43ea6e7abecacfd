import type { Workload } from "../workload.ts";

const project = `
mkdir -p project && cd project
i=0
while [ $i -lt 50 ]; do
  echo "int part$i(void) { return $i; }" > part$i.c
  i=$((i + 1))
done
{
  echo '#include <stdio.h>'
  seq -f 'int part%g(void);' 0 49
  echo 'int main(void) { int sum = 0;'
  seq -f 'sum += part%g();' 0 49
  printf '%s\\n' 'printf("sum %d\\n", sum); return 0; }'
} > main.c
printf 'sum: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n\\t$(CC) -o $@ $^\\n' > Makefile
`;

export const compilers: readonly Workload[] = [
  {
    id: "compile",
    does: "compiling and running a program in the workspace, in /tmp and in mktemp's directory",
    steps: [
      {
        script: `
for place in /data /tmp "$(mktemp -d)"; do
  cd "$place"
  printf '#include <stdio.h>\\nint main(void) { puts("hello"); return 0; }\\n' > hello.c
  gcc -O2 -Wall -o hello hello.c
  ./hello
  printf '#!/bin/sh\\necho script\\n' > script; chmod +x script; ./script
done
`,
        prints: /(?:hello\nscript\n){3}/,
      },
    ],
  },
  {
    id: "parallel-build",
    does: "a parallel make as an ordinary user",
    steps: [{ image: "builder", script: `${project}make -j 32 && ./sum && make -j sum`, prints: /^sum 1225$/m }],
  },
];
