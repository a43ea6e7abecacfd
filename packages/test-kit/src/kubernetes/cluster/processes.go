package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// processes starts programs and reaps every child of this process. This process is the first one of its PID namespace,
// so orphans such as containerd's shims become its children.
type processes struct {
	logs    string
	lock    sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	// failed receives what a component that ended left as its reason.
	failed chan error
}

func openProcesses(logs string) *processes {
	p := &processes{logs: logs, waiting: map[int]chan syscall.WaitStatus{}, failed: make(chan error, 1)}
	go p.reap()
	return p
}

func (p *processes) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.ECHILD {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			continue
		}
		p.lock.Lock()
		if ended, ok := p.waiting[pid]; ok {
			ended <- status
			delete(p.waiting, pid)
		}
		p.lock.Unlock()
	}
}

// start starts a program, whose output goes to its log.
func (p *processes) start(name string, words ...string) (<-chan syscall.WaitStatus, error) {
	log, err := os.OpenFile(p.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(words[0], words[1:]...)
	command.Stdout, command.Stderr = log, log
	// The reaper must not look for the process before it is registered.
	p.lock.Lock()
	defer p.lock.Unlock()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	p.waiting[command.Process.Pid] = ended
	return ended, command.Process.Release()
}

// run runs a program to its end.
func (p *processes) run(name string, words ...string) error {
	ended, err := p.start(name, words...)
	if err != nil {
		return err
	}
	if status := <-ended; status != 0 {
		return p.failure(name, status)
	}
	return nil
}

// component starts a program that runs as long as the cluster.
func (p *processes) component(name string, words ...string) error {
	ended, err := p.start(name, words...)
	if err != nil {
		return err
	}
	go func() {
		failure := p.failure(name, <-ended)
		select {
		case p.failed <- failure:
		default:
		}
	}()
	return nil
}

func (p *processes) failure(name string, status syscall.WaitStatus) error {
	log, _ := os.ReadFile(p.logPath(name))
	if len(log) > 1000 {
		log = log[len(log)-1000:]
	}
	return fmt.Errorf("%s ended with status %d: %s", name, status, log)
}

func (p *processes) logPath(name string) string {
	return filepath.Join(p.logs, name+".log")
}
