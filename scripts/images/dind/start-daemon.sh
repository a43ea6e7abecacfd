#!/bin/sh
# Starts the Docker daemon of a pod: start-daemon plain|gvisor|rootless OPTION-OF-DOCKERD...
set -eu
kind=$1
shift

# Prints the word after the given one in the rest of the arguments.
word_after() {
  wanted=$1
  shift
  while [ $# -gt 1 ]; do
    if [ "$1" = "$wanted" ]; then echo "$2" && return; fi
    shift
  done
}

case $kind in
plain)
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    # On cgroup v2 a privileged container sees the node's whole tree. Containers of jobs belong below this container's
    # own cgroup, whose limits cover them there.
    if [ -z "${AIRLOCK_OWN_CGROUP-}" ]; then
      export AIRLOCK_OWN_CGROUP=1
      exec unshare --cgroup --mount --propagation slave -- "$0" plain "$@"
    fi
    umount /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    # The kernel passes controllers on only from a cgroup without processes.
    mkdir -p /sys/fs/cgroup/daemon
    echo $$ >/sys/fs/cgroup/daemon/cgroup.procs
    read -r controllers </sys/fs/cgroup/cgroup.controllers
    for controller in $controllers; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done
  fi
  ;;
gvisor)
  # gVisor's kernel lacks parts of what dockerd's own rules need. So this translates the addresses of containers.
  # shellcheck disable=SC2046
  device=$(word_after dev $(ip -4 route show default))
  # shellcheck disable=SC2046
  address=$(word_after inet $(ip -o -4 addr show dev "$device"))
  echo 1 >/proc/sys/net/ipv4/ip_forward
  for protocol in tcp udp; do
    rule="POSTROUTING -o $device -p $protocol -j SNAT --to-source ${address%/*}"
    # A restarted daemon finds the rules of the one before.
    # shellcheck disable=SC2086
    iptables-legacy -t nat -C $rule 2>/dev/null || iptables-legacy -t nat -A $rule
  done
  set -- --storage-driver vfs --iptables=false --ip6tables=false "$@"
  ;;
rootless)
  if [ -z "${AIRLOCK_ROOTLESS_CHILD-}" ]; then
    export AIRLOCK_ROOTLESS_CHILD=1 HOME=/home/airlock XDG_RUNTIME_DIR=/home/airlock/run
    mkdir -p "$XDG_RUNTIME_DIR"
    # The daemon pulls images by the pod's own network. Containers of jobs have none here, so it needs no bridge.
    exec rootlesskit --net=host --copy-up=/etc --copy-up=/run -- "$0" rootless "$@"
  fi
  # Links to the directories of the outer namespace, which belong to its root.
  rm -rf /run/docker /run/containerd /run/xtables.lock
  set -- --bridge=none --iptables=false --ip6tables=false --ip-forward=false "$@"
  ;;
*)
  echo "start-daemon: \"$kind\" must be plain, gvisor or rootless" >&2
  exit 2
  ;;
esac
exec dockerd "$@"
