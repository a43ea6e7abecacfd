package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// kubeletSettings are settings of the whole machine that the kubelet wants to have these values.
var kubeletSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// hideMachine covers the places where Kubernetes and containerd write outside the cluster's directory. The mounts end with
// this process's mount namespace.
func hideMachine(directory string) error {
	for _, path := range []string{"/run", "/var/lib", "/var/log"} {
		if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("cannot cover %s: %w", path, err)
		}
	}
	// Pods' volumes are on the disk of the cluster's directory.
	for path, place := range map[string]string{"/var/lib/kubelet": "kubelet", "/var/log/pods": "pods"} {
		if err := coverDirectory(path, filepath.Join(directory, place)); err != nil {
			return err
		}
	}
	if err := syscall.Mount("", "/var/lib/kubelet", "", syscall.MS_SHARED|syscall.MS_REC, ""); err != nil {
		return err
	}
	// crun refuses a machine with both versions of cgroups.
	if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs"); err == nil {
		if err := syscall.Unmount("/sys/fs/cgroup/unified", 0); err != nil {
			return err
		}
	}
	return hideSettings(filepath.Join(directory, "settings"))
}

func coverDirectory(path, source string) error {
	for _, each := range []string{path, source} {
		if err := os.MkdirAll(each, 0o755); err != nil {
			return err
		}
	}
	return syscall.Mount(source, path, "", syscall.MS_BIND, "")
}

// hideSettings shows the kubelet a file with the value that it wants, so that it changes nothing.
func hideSettings(directory string) error {
	for name, value := range kubeletSettings {
		file := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := syscall.Mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot cover the setting %s: %w", name, err)
		}
	}
	return nil
}

// openCgroup makes the cgroup below which all pods are, in each hierarchy.
func openCgroup(name string) error {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return os.MkdirAll(filepath.Join(root, name), 0o755)
	}
	for _, controller := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"} {
		if err := os.MkdirAll(filepath.Join(root, controller, name), 0o755); err != nil {
			return err
		}
	}
	// A new cpuset has no processor and no memory, and takes no process.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(root, "cpuset", file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "cpuset", name, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}
