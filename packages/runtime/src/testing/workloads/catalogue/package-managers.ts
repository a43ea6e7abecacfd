import type { Workload, WorkloadStep } from "../workload.ts";

const aptSources = `
rm -rf /etc/apt/sources.list.d
echo "deb [trusted=yes] $MIRROR/debian ./" > /etc/apt/sources.list
export DEBIAN_FRONTEND=noninteractive
apt-get update
`;
const npmProject = `
mkdir -p app && cd app
cp "$INPUT/package-lock.json" .
echo '{"name":"workload","version":"1.0.0","dependencies":{"sample-built":"^2.0.0"}}' > package.json
npm ci --registry "$MIRROR/npm/" --no-audit --no-fund --foreground-scripts
set +e; node_modules/sample-built/built; code=$?; set -e
test $code = 42
node_modules/.bin/sample-words
`;
const pipProject = `
python3 -m venv venv
. venv/bin/activate
pip install --index-url "$MIRROR/simple/" --trusted-host packages.example.com airlock-sample
airlock-sample
pip uninstall -y wheel
`;

export const packageManagers: readonly Workload[] = [
  {
    id: "apt-install",
    does: "apt-get update, then apt-get install of a program",
    steps: [
      {
        script: `${aptSources}
apt-get install -y --no-install-recommends tree
tree --version
test -z "$(dpkg --audit)"
apt-get install -y --reinstall tree
apt-get purge -y tree
`,
        prints: /^tree v/m,
      },
    ],
  },
  {
    id: "apt-install-services",
    does: "apt-get install of packages that create users, setuid and setgid programs and file capabilities",
    steps: [
      {
        script: `${aptSources}
apt-get install -y --no-install-recommends cron dbus sudo iputils-ping
test -z "$(dpkg --audit)"
getent passwd messagebus
stat -c '%a %U %G %n' /usr/bin/crontab /usr/bin/sudo /usr/lib/dbus-1.0/dbus-daemon-launch-helper
getcap "$(command -v ping)"
sudo -n true && echo root needs no password
ping -c 1 127.0.0.1 2>&1 || echo no ping
setcap -r "$(command -v ping)" && ping -c 1 -q 127.0.0.1
apt-get purge -y cron
`,
        prints:
          /messagebus:[\s\S]*2755 root crontab \/usr\/bin\/crontab\n4755 root root \/usr\/bin\/sudo\n4754 root messagebus .*\n\S*ping cap_net_raw=ep\n[\s\S]*root needs no password\n[\s\S]*1 received/,
      },
    ],
  },
  {
    id: "npm-ci",
    does: "npm ci with an install script that compiles, as root and as an ordinary user in turn, twice",
    steps: [...inTurn({ script: npmProject, prints: /^the words$/m }), ...inTurn({ script: npmProject })],
  },
  {
    id: "pip-install",
    does: "pip install of a source distribution and a wheel, as root and then as an ordinary user",
    steps: inTurn({ script: pipProject, prints: /^sample with wheel 0\./m }),
  },
];

/** Runs the step with both images in one workspace, so that the second run finds the files of the first. */
function inTurn(step: WorkloadStep): readonly WorkloadStep[] {
  return [step, { ...step, image: "builder" }];
}
