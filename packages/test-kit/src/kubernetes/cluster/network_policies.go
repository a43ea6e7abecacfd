package main

import (
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/cobra"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// newNetworkPoliciesCommand enforces NetworkPolicies with kube-router's controller, by iptables and ipset in the network
// namespace of this process. kube-router's routes and service proxy are not used.
func newNetworkPoliciesCommand() *cobra.Command {
	settings := options.NewKubeRouterConfig()
	settings.EnableIPv6 = false
	command := &cobra.Command{Use: "network-policies", SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		config, err := clientcmd.BuildConfigFromFlags("", settings.Kubeconfig)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		ended, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer cancel()

		factory := informers.NewSharedInformerFactory(client, 0)
		pods := factory.Core().V1().Pods().Informer()
		namespaces := factory.Core().V1().Namespaces().Informer()
		policies := factory.Networking().V1().NetworkPolicies().Informer()
		factory.Start(ended.Done())
		factory.WaitForCacheSync(ended.Done())

		tables, sets, err := netpol.NewIPTablesHandlers(settings)
		if err != nil {
			return err
		}
		var ipsets sync.Mutex
		controller, err := netpol.NewNetworkPolicyController(client, settings, pods, policies, namespaces, &ipsets, tables, sets)
		if err != nil {
			return err
		}
		pods.AddEventHandler(controller.PodEventHandler)
		namespaces.AddEventHandler(controller.NamespaceEventHandler)
		policies.AddEventHandler(controller.NetworkPolicyEventHandler)
		// The controller blocks when nothing takes its heartbeats.
		heartbeats := make(chan *healthcheck.ControllerHeartbeat, 10)
		go func() {
			for range heartbeats {
			}
		}()
		var running sync.WaitGroup
		running.Add(1)
		go controller.Run(heartbeats, ended.Done(), &running)
		running.Wait()
		return nil
	}}
	settings.AddFlags(command.Flags())
	return command
}
