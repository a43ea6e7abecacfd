import type { Workload } from "../workload.ts";

export const processes: readonly Workload[] = [
  {
    id: "node-tests",
    does: "a Node test suite with a server on the loopback addresses",
    steps: [
      {
        image: "builder",
        script: `
cat > server.test.mjs <<'EOF'
import assert from "node:assert";
import { createServer } from "node:http";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
for (const host of ["127.0.0.1", "::1", "localhost"]) {
  test("answers on " + host, async () => {
    const server = createServer((_, response) => response.end("served"));
    await new Promise((resolve) => server.listen(0, host, resolve));
    const name = host.includes(":") ? "[" + host + "]" : host;
    const answer = await fetch("http://" + name + ":" + server.address().port);
    assert.equal(await answer.text(), "served");
    server.close();
  });
}
test("has threads", async () => {
  const workers = [1, 2, 3, 4].map((n) => new Worker("require('node:worker_threads').parentPort.postMessage(" + n + ")", { eval: true }));
  const said = await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
  assert.deepEqual(said, [1, 2, 3, 4]);
});
EOF
node --test --test-reporter=tap
`,
        prints: /^# pass 4$/m,
      },
    ],
  },
  {
    id: "python-server",
    does: "a Python web server on a port below 1024 and on a Unix socket, called by another process",
    steps: [
      {
        image: "builder",
        script: `
mkdir www && echo served > www/file
python3 -m http.server --bind 127.0.0.1 --directory www 80 2> log & server=$!
python3 - <<'EOF'
import socket, threading, time, urllib.request
for _ in range(100):
    try:
        print(urllib.request.urlopen("http://localhost:80/file").read().decode().strip())
        break
    except OSError:
        time.sleep(0.1)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/data/socket")
listener.listen()
threading.Thread(target=lambda: listener.accept()[0].sendall(b"by path")).start()
client = socket.socket(socket.AF_UNIX)
client.connect("/data/socket")
print(client.recv(100).decode())
EOF
kill $server
`,
        prints: /^served\nby path$/m,
      },
    ],
  },
  {
    id: "multiprocessing",
    does: "Python's multiprocessing with semaphores, pools and shared memory",
    steps: [
      {
        image: "builder",
        script: `
cat > many.py <<'EOF'
import multiprocessing as mp
from multiprocessing import shared_memory
def square(n):
    return n * n
def add(counter):
    for _ in range(100):
        with counter.get_lock():
            counter.value += 1
if __name__ == "__main__":
    with mp.Pool(4) as pool:
        print("squares", sum(pool.map(square, range(100))))
    counter = mp.Value("i", 0)
    workers = [mp.Process(target=add, args=(counter,)) for _ in range(4)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    print("counted", counter.value)
    memory = shared_memory.SharedMemory(create=True, size=32 << 20)
    memory.buf[-1] = 7
    print("shared", memory.buf[(32 << 20) - 1])
    memory.close(); memory.unlink()
EOF
python3 many.py
`,
        prints: /^squares 328350\ncounted 400\nshared 7$/m,
      },
    ],
  },
  {
    id: "shell-jobs",
    does: "a shell's background jobs, traps, process groups and timeouts",
    steps: [
      {
        script: `
trap 'echo at the end' EXIT
(trap 'echo was asked to end; exit 3' TERM; while :; do sleep 0.1; done) & job=$!
sleep 0.5
kill -TERM $job
set +e; wait $job; echo "job $?"
timeout 0.2 sleep 30; echo "timeout $?"
setsid sh -c 'sleep 0.1; echo in a session'
sleep 300 & kill %1 2>/dev/null; kill $!; wait $!; echo "sleep $?"
sh -c 'kill -SEGV $$'; echo "segv $?"
nice -n 5 true && nohup true; echo "nice $?"
`,
        prints:
          /was asked to end\njob 3\ntimeout 124\nin a session\n(?:.*\n)?sleep 143\n(?:.*\n)*?segv 139\n(?:.*\n)?nice 0\n(?:.*\n)*at the end/,
      },
    ],
  },
  {
    id: "many-processes",
    does: "a thousand processes at once, and orphans",
    steps: [
      {
        image: "builder",
        script: `
i=0
while [ $i -lt 1000 ]; do sleep 1 & i=$((i + 1)); done
wait
echo all ended
i=0
while [ $i -lt 50 ]; do sh -c '(sleep 0.1 &)'; i=$((i + 1)); done
sleep 0.5
! grep -sl '^State:.Z' /proc/[0-9]*/status
echo no zombies
`,
        prints: /^all ended\nno zombies$/m,
      },
    ],
  },
  {
    id: "much-output",
    does: "200 MB of output",
    steps: [{ image: "builder", script: "yes 'a line of a log that is much too long' | head -c 200000000" }],
    timeoutMs: 120_000,
  },
];
