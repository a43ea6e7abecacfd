import type { Workload } from "../workload.ts";

export const files: readonly Workload[] = [
  {
    id: "owners",
    does: "programs by which root changes owners and users: tar, install, chown, su, runuser, useradd",
    steps: [
      {
        script: `
mkdir tree && echo one > tree/one && echo two > tree/two
chown builder:builder tree/one && chown 65534:65534 tree/two && chmod 4750 tree/two
tar -cpf tree.tar tree && rm -rf tree && mkdir there && tar -xpf tree.tar -C there
stat -c '%u:%g %a %n' there/tree/one there/tree/two
install -o builder -g builder -m 640 /dev/null installed
stat -c '%U %G %a' installed
su builder -c 'id -un; echo mine > /tmp/mine'
runuser -u builder -- id -un
useradd --system --create-home worker && su worker -s /bin/sh -c 'cd && pwd'
mkdir -p /srv/place && chown -R worker: /srv/place && setpriv --reuid=worker --regid=worker --clear-groups touch /srv/place/file
setcap cap_net_bind_service+ep there/tree/one 2>&1 || echo no capabilities on the workspace
chroot / /bin/echo in a root
`,
        prints:
          /1000:1000 644 there\/tree\/one\n65534:65534 4750 there\/tree\/two\nbuilder builder 640\nbuilder\nbuilder\n\/home\/worker\n(?:.*\n)*in a root\n/,
      },
    ],
  },
  {
    id: "file-systems",
    does: "Unicode names, links, locks, FIFOs, sparse files, attributes, memory maps, many open files",
    steps: [
      {
        image: "builder",
        script: `
mkdir 'Zürich 東京 😀' && cd 'Zürich 東京 😀'
printf 'x' > "$(printf 'line\\nbreak')" && ls -b
ln -s /data/later 'a link' && ln "$(printf 'line\\nbreak')" hard
mkfifo pipe && (echo through > pipe &) && cat pipe
truncate -s 2G hole && test "$(du -k hole | cut -f1)" -lt 100
flock hole -c 'echo locked'
python3 - <<'EOF'
import mmap, os, resource, tempfile
handles = [tempfile.TemporaryFile() for _ in range(2000)]
print("open", len(handles))
with open("mapped", "w+b") as file:
    file.truncate(1 << 20)
    memory = mmap.mmap(file.fileno(), 0)
    memory[-1] = 65
    memory.flush()
os.setxattr("mapped", "user.note", b"kept")
print(os.getxattr("mapped", "user.note").decode())
os.posix_fallocate(os.open("space", os.O_CREAT | os.O_RDWR), 0, 1 << 20)
os.memfd_create("memory")
os.rename("mapped", "/data/renamed")
EOF
cd .. && rm -rf Z*
`,
        prints: /line\\nbreak\nthrough\nlocked\nopen 2000\nkept\n/,
      },
    ],
  },
  {
    id: "git",
    does: "git on a repository: commits, branches, merges, stash, worktrees, gc, clones, hooks",
    steps: [
      {
        image: "builder",
        script: `
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main work && cd work
seq 1000 > numbers && git add . && git commit -qm one
git checkout -qb side && echo side > side && git add . && git commit -qm side
git checkout -q main && echo main > main && git add . && git commit -qm main
git merge -q --no-edit side
echo more >> numbers && git diff --stat | cat && git stash -q && git stash pop -q && git status --porcelain
git worktree add -q ../other side && git gc -q --prune=now && git fsck
printf '#!/bin/sh\\necho the hook ran\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit
git commit -qam more
git clone -q --bare . ../bare.git && git clone -q ../bare.git ../clone && git -C ../clone log --oneline | wc -l
git archive HEAD | tar -t
`,
        prints: /1 file changed[\s\S]*\n M numbers\n[\s\S]*the hook ran\n5\nmain\nnumbers\nside\n/,
      },
    ],
  },
];
