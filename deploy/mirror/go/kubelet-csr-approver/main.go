// Program kubelet-csr-approver approves the kubelets' requests for serving certificates that keep to its policy. The
// others stay pending, with the reason in its log, for an administrator to judge.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"hepspark.internal/mirror/kubelet-csr-approver/approval"

	certificates "k8s.io/api/certificates/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// A request that could not be judged, because a name was not resolvable yet say, is looked at again this often.
	resync  = time.Minute
	timeout = 10 * time.Second
)

func main() {
	names := flag.String("provider-regex", "", "regular expression that a host's name has to match, as a whole (required)")
	prefixes := flag.String("provider-ip-prefixes", "", "networks of the hosts' addresses, separated by commas (required)")
	bypass := flag.Bool("bypass-dns-resolution", false, "do not ask the DNS whether a name has the addresses in a request")
	longest := flag.Int("max-expiration-sec", 366*24*3600, "longest validity of a certificate, in seconds")
	kubeconfig := flag.String("kubeconfig", "", "file that tells the cluster; without it the pod's own service account is used")
	health := flag.String("health-probe-bind-address", ":8081", "address that answers /healthz and /readyz")
	klog.InitFlags(nil)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	policy, err := newPolicy(*names, *prefixes, *longest, *bypass)
	if err == nil {
		err = run(ctx, policy, *kubeconfig, *health)
	}
	if err != nil {
		klog.Flush()
		fmt.Fprintf(os.Stderr, "kubelet-csr-approver: %v\n", err)
		os.Exit(1)
	}
}

func newPolicy(names, prefixes string, seconds int, bypass bool) (approval.Policy, error) {
	if names == "" || prefixes == "" {
		return approval.Policy{}, errors.New("-provider-regex and -provider-ip-prefixes are required")
	}
	pattern, err := regexp.Compile("^(?:" + names + ")$")
	if err != nil {
		return approval.Policy{}, fmt.Errorf("-provider-regex: %w", err)
	}
	policy := approval.Policy{Names: pattern, MaxExpiration: time.Duration(seconds) * time.Second}
	for _, text := range strings.Split(prefixes, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return approval.Policy{}, fmt.Errorf("-provider-ip-prefixes: %w", err)
		}
		policy.Prefixes = append(policy.Prefixes, prefix)
	}
	if !bypass {
		policy.Resolver = net.DefaultResolver
	}
	return policy, nil
}

func run(ctx context.Context, policy approval.Policy, kubeconfig, health string) error {
	configuration, err := rest.InClusterConfig()
	if kubeconfig != "" {
		configuration, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(configuration)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, resync, informers.WithTweakListOptions(
		func(options *meta.ListOptions) {
			options.FieldSelector = fields.OneTermEqualSelector("spec.signerName", certificates.KubeletServingSignerName).String()
		}))
	informer := factory.Certificates().V1().CertificateSigningRequests()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	add := func(object any) {
		if request, ok := object.(*certificates.CertificateSigningRequest); ok {
			queue.Add(request.Name)
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, object any) { add(object) },
	}); err != nil {
		return err
	}

	server := &http.Server{Addr: health, ReadHeaderTimeout: timeout}
	server.Handler = http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/readyz" && !informer.Informer().HasSynced() {
			http.Error(answer, "the list of requests has not been read yet", http.StatusServiceUnavailable)
		}
	})
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	factory.Start(ctx.Done())
	go func() {
		for {
			name, done := queue.Get()
			if done {
				return
			}
			request, err := informer.Lister().Get(name)
			if err == nil {
				err = judge(ctx, client, policy, request.DeepCopy())
			}
			if err != nil && !apierrors.IsNotFound(err) {
				klog.ErrorS(err, "Approving failed; it is tried again", "request", name)
				queue.AddRateLimited(name)
			} else {
				queue.Forget(name)
			}
			queue.Done(name)
		}
	}()
	select {
	case <-ctx.Done():
		queue.ShutDown()
		return nil
	case err := <-failed:
		return err
	}
}

func judge(ctx context.Context, client kubernetes.Interface, policy approval.Policy, request *certificates.CertificateSigningRequest) error {
	for _, condition := range request.Status.Conditions {
		if condition.Type == certificates.CertificateApproved || condition.Type == certificates.CertificateDenied {
			return nil
		}
	}
	usages := make([]string, len(request.Spec.Usages))
	for i, usage := range request.Spec.Usages {
		usages[i] = string(usage)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reason := policy.Check(ctx, approval.Request{
		Username:          request.Spec.Username,
		Groups:            request.Spec.Groups,
		PEM:               request.Spec.Request,
		Usages:            usages,
		ExpirationSeconds: request.Spec.ExpirationSeconds,
	})
	if reason != nil {
		klog.InfoS("Left pending", "request", request.Name, "user", request.Spec.Username, "reason", reason.Error())
		return nil
	}
	request.Status.Conditions = append(request.Status.Conditions, certificates.CertificateSigningRequestCondition{
		Type:    certificates.CertificateApproved,
		Status:  core.ConditionTrue,
		Reason:  "KeepsToPolicy",
		Message: "a node asks for its own name and addresses",
	})
	_, err := client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, request.Name, request, meta.UpdateOptions{})
	if err == nil {
		klog.InfoS("Approved", "request", request.Name, "user", request.Spec.Username)
	}
	return err
}
