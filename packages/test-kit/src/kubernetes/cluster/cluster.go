package main

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	nodeName         = "node"
	startTime        = 90 * time.Second
	pollInterval     = 20 * time.Millisecond
)

type clusterOptions struct {
	directory   string
	nodeAddress string
	gateway     string
	cgroup      string
	pauseImage  string
	images      []string
}

// newClusterCommand runs a cluster until its standard input ends. It must be the first process of its own PID, mount and
// network namespaces: everything that it starts and mounts ends with it.
func newClusterCommand() *cobra.Command {
	o := &clusterOptions{}
	command := &cobra.Command{Use: "cluster", SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		return runCluster(cmd.Context(), o)
	}}
	flags := command.Flags()
	flags.StringVar(&o.directory, "directory", "", "for everything that the cluster writes")
	flags.StringVar(&o.nodeAddress, "node-address", "", "address of this network namespace")
	flags.StringVar(&o.gateway, "gateway", "", "address of the machine outside this network namespace")
	flags.StringVar(&o.cgroup, "cgroup", "", "name of the cgroup of all pods")
	flags.StringVar(&o.pauseImage, "pause-image", "", "image of each pod's first container")
	flags.StringSliceVar(&o.images, "images", nil, "archives of images to import")
	return command
}

func runCluster(ctx context.Context, o *clusterOptions) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("cluster has to be the first process of a PID namespace")
	}
	c, err := newCluster(o)
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() { started <- c.start(ctx) }()
	released := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(released)
	}()
	for {
		select {
		case err := <-started:
			if err != nil {
				return err
			}
			fmt.Println("ready")
		case err := <-c.processes.failed:
			return err
		case <-released:
			return nil
		}
	}
}

type cluster struct {
	*clusterOptions
	program   string
	processes *processes
}

func newCluster(o *clusterOptions) (*cluster, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logs := filepath.Join(o.directory, "log")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	return &cluster{clusterOptions: o, program: program, processes: openProcesses(logs)}, nil
}

func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, prepare := range []func() error{
		func() error { return hideMachine(c.directory) },
		func() error { return openCgroup(c.cgroup) },
		c.issueCertificates,
		func() error { return writeSettings(c.clusterOptions) },
		c.openNetwork,
		c.startStorage,
		c.startServer,
		func() error { return c.importImages(ctx) },
	} {
		if err := prepare(); err != nil {
			return err
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := until(ctx, "the API server answers", func() bool {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil
	}); err != nil {
		return err
	}
	if err := c.startControllers(); err != nil {
		return err
	}
	if err := until(ctx, "the node is registered", func() bool {
		_, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		return err == nil
	}); err != nil {
		return err
	}
	if err := c.startNetwork(); err != nil {
		return err
	}
	if err := until(ctx, "pods can be scheduled", func() bool { return canSchedule(ctx, client) }); err != nil {
		return err
	}
	return until(ctx, "the default service account exists", func() bool {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
}

func (c *cluster) issueCertificates() error {
	a, err := openAuthority(filepath.Join(c.directory, "keys"))
	if err != nil {
		return err
	}
	masters := []string{"system:masters"}
	hosts := []string{"127.0.0.1", c.nodeAddress, "10.96.0.1", "localhost", "kubernetes.default", "kubernetes.default.svc"}
	for _, each := range []struct {
		name    string
		subject pkix.Name
		hosts   []string
	}{
		{"apiserver", pkix.Name{CommonName: "kube-apiserver"}, hosts},
		{"kubelet-serving", pkix.Name{CommonName: nodeName}, []string{"127.0.0.1", c.nodeAddress, nodeName}},
		{"kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: masters}, nil},
		{"admin", pkix.Name{CommonName: "admin", Organization: masters}, nil},
		{"controllers", pkix.Name{CommonName: "system:kube-controller-manager"}, nil},
		{"scheduler", pkix.Name{CommonName: "system:kube-scheduler"}, nil},
		{"proxy", pkix.Name{CommonName: "system:kube-proxy"}, nil},
		{"kubelet", pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}, nil},
		{"policies", pkix.Name{CommonName: "network-policies", Organization: masters}, nil},
	} {
		if err := a.issue(each.name, each.subject, each.hosts...); err != nil {
			return err
		}
	}
	for _, name := range []string{"admin", "controllers", "scheduler", "proxy", "kubelet", "policies"} {
		if err := a.kubeconfig(c.directory, name, "https://"+c.nodeAddress+":6443"); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) openNetwork() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o644); err != nil {
		return err
	}
	// The first packet to a Service that is not programmed yet must be dropped. Otherwise it leaves by the default route,
	// and connection tracking keeps the whole connection there.
	return c.processes.run("iptables", "iptables", "-t", "mangle", "-A", "FORWARD", "-d", serviceSubnet, "-j", "DROP")
}

func (c *cluster) startStorage() error {
	if err := c.component("etcd", "--data-dir="+filepath.Join(c.directory, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380"); err != nil {
		return err
	}
	return c.processes.component("containerd", "containerd", "--config", filepath.Join(c.directory, "containerd.toml"))
}

func (c *cluster) startServer() error {
	return c.component("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+c.nodeAddress,
		"--secure-port=6443", "--tls-cert-file="+c.key("apiserver.crt"), "--tls-private-key-file="+c.key("apiserver.key"),
		"--client-ca-file="+c.key("ca.crt"), "--kubelet-client-certificate="+c.key("kubelet-client.crt"),
		"--kubelet-client-key="+c.key("kubelet-client.key"), "--kubelet-certificate-authority="+c.key("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.key("sa.pub"),
		"--service-account-signing-key-file="+c.key("sa.key"), "--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--service-cluster-ip-range="+serviceSubnet,
		"--kubelet-preferred-address-types=InternalIP")
}

func (c *cluster) startControllers() error {
	config := func(name string) []string {
		path := c.kubeconfig(name)
		return []string{"--kubeconfig=" + path, "--authentication-kubeconfig=" + path, "--authorization-kubeconfig=" + path,
			"--leader-elect=false", "--bind-address=127.0.0.1"}
	}
	// With the default rate the controllers need four more seconds at their start.
	controllers := append(config("controllers"), "--kube-api-qps=500", "--kube-api-burst=1000",
		"--use-service-account-credentials", "--service-account-private-key-file="+c.key("sa.key"),
		"--root-ca-file="+c.key("ca.crt"), "--cluster-signing-cert-file="+c.key("ca.crt"),
		"--cluster-signing-key-file="+c.key("ca.key"))
	if err := c.component("kube-controller-manager", controllers...); err != nil {
		return err
	}
	if err := c.component("kube-scheduler", config("scheduler")...); err != nil {
		return err
	}
	return c.component("kubelet", "--config="+filepath.Join(c.directory, "kubelet.yaml"), "--kubeconfig="+c.kubeconfig("kubelet"),
		"--hostname-override="+nodeName, "--node-ip="+c.nodeAddress)
}

func (c *cluster) startNetwork() error {
	proxy := filepath.Join(c.directory, "proxy.yaml")
	if err := c.component("kube-proxy", "--config="+proxy, "--hostname-override="+nodeName); err != nil {
		return err
	}
	return c.component("network-policies", "--kubeconfig="+c.kubeconfig("policies"), "--hostname-override="+nodeName,
		"--service-cluster-ip-range="+serviceSubnet)
}

func (c *cluster) importImages(ctx context.Context) error {
	ctr := func(words ...string) error {
		return c.processes.run("ctr", append([]string{"ctr", "--address", containerdSocket, "--namespace", "k8s.io"}, words...)...)
	}
	if err := until(ctx, "containerd answers", func() bool { return ctr("version") == nil }); err != nil {
		return err
	}
	for _, archive := range c.images {
		if err := ctr("images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig("admin"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	return kubernetes.NewForConfig(config)
}

func (c *cluster) component(name string, flags ...string) error {
	return c.processes.component(name, append([]string{c.program, name}, flags...)...)
}

func (c *cluster) key(file string) string {
	return filepath.Join(c.directory, "keys", file)
}

func (c *cluster) kubeconfig(name string) string {
	return filepath.Join(c.directory, name+".kubeconfig")
}

// canSchedule tells whether the node is ready and no taint keeps pods away, which happens a little later.
func canSchedule(ctx context.Context, client *kubernetes.Clientset) bool {
	node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil || len(node.Spec.Taints) > 0 {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func until(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s", what)
		case <-time.After(pollInterval):
		}
	}
	return nil
}
