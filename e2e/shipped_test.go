package e2e

import (
	"testing"

	"github.com/isthmus-sync/isthmus/config"
)

// TestComposeConfiguration reads what docker-compose.yml runs the bridge with.
func TestComposeConfiguration(t *testing.T) {
	c, err := config.Load("../deploy/bridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.Warnings {
		t.Errorf("it gives the warning %v", w)
	}
}
