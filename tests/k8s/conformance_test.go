// SPDX-License-Identifier: Apache-2.0
package k8s

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

// The Gateway API conformance suite as its project publishes it; what it runs is said by its own flags.
func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
