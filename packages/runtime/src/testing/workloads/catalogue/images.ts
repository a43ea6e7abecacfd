import type { Workload, WorkloadStep } from "../workload.ts";

const turns: readonly WorkloadStep[] = [
  { script: "mkdir -p out && echo root >> out/log && echo 'int main(void) { return 0; }' > out/main.c" },
  { image: "builder", script: "echo builder >> out/log && gcc -o out/main out/main.c && out/main && ls -ln out" },
  { image: "service", script: "echo service >> out/log && out/main && rm out/main" },
  { script: "echo root again >> out/log && chown -R 0:0 out && cat out/log && ! test -e out/main" },
];

export const images: readonly Workload[] = [
  {
    id: "unprivileged-image",
    does: "an image with an ordinary user that builds in /data and in its home",
    steps: [
      {
        image: "builder",
        script: `
id -u; echo "$HOME"; pwd
echo 'int main(void) { return 0; }' > main.c && gcc -o main main.c && ./main
mkdir -p a/b && touch a/b/c && chmod 700 a && rm -rf a
echo mine > "$HOME/mine" && echo mine > /tmp/mine
! touch /usr/bin/mine 2> /dev/null
! chown 0 main 2> /dev/null
`,
        prints: /^1000\n\/home\/builder\n\/data\n/m,
      },
    ],
  },
  {
    id: "service-image",
    does: "an image with an entrypoint, a named user, a working directory and a volume",
    steps: [
      {
        image: "service",
        script:
          'id -un; echo "$SERVICE_HOME"; echo kept > /srv/volume/file && cat /srv/volume/file; touch /srv/service/x; pwd',
        prints: /^builder\n\/srv\/service\nkept\n\/data\n/,
      },
    ],
  },
  {
    id: "images-in-turn",
    does: "steps with different images and users that take turns in one workspace",
    steps: [...turns, { script: "rm -r out" }, ...turns].map((step, index) =>
      index === 3 || index === 8 ? { ...step, prints: /^root\nbuilder\nservice\nroot again\n/ } : step,
    ),
  },
];
