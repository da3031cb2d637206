// Program pod-security reads manifests from standard input and checks every pod in them, also those that a Job or a
// Deployment would make, against level `restricted` of the Pod Security Standards, by the code of Kubernetes' own
// admission. It prints each pod that violates the standard, and by what. It ends with 0 if none does, 1 if one does, 2 if
// the input cannot be read or has no pod.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

var restricted = api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}

// check tells how many pods the manifests have, and of each that violates the standard by what.
func check(manifests io.Reader) (pods int, violations []string, err error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return 0, nil, err
	}
	decoder := scheme.Codecs.UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(manifests))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return pods, violations, nil
		}
		if err != nil {
			return 0, nil, err
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return 0, nil, err
		}
		// Its only error is that a kind has no pod.
		metadata, spec, _ := admission.DefaultPodSpecExtractor{}.ExtractPodSpec(object)
		if spec == nil {
			continue
		}
		pods++
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, metadata, spec))
		if !result.Allowed {
			named, err := meta.Accessor(object)
			if err != nil {
				return 0, nil, err
			}
			violations = append(violations, fmt.Sprintf("%s %s: %s", kind.Kind, named.GetName(), result.ForbiddenDetail()))
		}
	}
}

func main() {
	pods, violations, err := check(os.Stdin)
	if err == nil && pods == 0 {
		err = errors.New("there is no pod in it; give manifests as `helm template` renders them")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pod-security: standard input:", err)
		os.Exit(2)
	}
	for _, violation := range violations {
		fmt.Println(violation)
	}
	if len(violations) > 0 {
		os.Exit(1)
	}
}
