package main

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	podSubnet     = "10.244.0.0/24"
	serviceSubnet = "10.96.0.0/16"
)

const containerdSettings = `version = 2
root = "DIRECTORY/containerd"
state = "/run/containerd/state"
[grpc]
  address = "SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "PAUSE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "DIRECTORY/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "DIRECTORY/registries"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
  BinaryName = "/usr/bin/crun"
`

const podNetwork = `{"cniVersion":"0.4.0","name":"pods","plugins":[
  {"type":"ptp","ipMasq":true,"mtu":1500,"ipam":{"type":"host-local","ranges":[[{"subnet":"PODS"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
  {"type":"portmap","capabilities":{"portMappings":true}}
]}
`

const kubeletConfiguration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: DIRECTORY/keys/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: DIRECTORY/keys/kubelet-serving.crt
tlsPrivateKeyFile: DIRECTORY/keys/kubelet-serving.key
containerRuntimeEndpoint: unix://SOCKET
cgroupDriver: cgroupfs
cgroupRoot: /CGROUP
failSwapOn: false
failCgroupV1: false
oomScoreAdj: 0
maxOpenFiles: 16384
maxPods: 240
podPidsLimit: 4096
resolvConf: DIRECTORY/resolv.conf
clusterDomain: cluster.local
evictionHard: {memory.available: 50Mi}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
fileCheckFrequency: 0s
httpCheckFrequency: 0s
shutdownGracePeriod: 0s
`

const proxyConfiguration = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: DIRECTORY/proxy.kubeconfig}
mode: iptables
clusterCIDR: PODS
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
metricsBindAddress: 127.0.0.1:10249
`

// writeSettings writes the configuration files of all components.
func writeSettings(o *clusterOptions) error {
	fill := strings.NewReplacer("DIRECTORY", o.directory, "SOCKET", containerdSocket, "PAUSE", o.pauseImage, "CGROUP", o.cgroup, "PODS", podSubnet)
	for name, text := range map[string]string{
		"containerd.toml":      containerdSettings,
		"cni/10-pods.conflist": podNetwork,
		"kubelet.yaml":         kubeletConfiguration,
		"proxy.yaml":           proxyConfiguration,
		"resolv.conf":          "nameserver " + o.gateway + "\n",
	} {
		path := filepath.Join(o.directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(fill.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	return nil
}
