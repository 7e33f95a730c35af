package session

import (
	"testing"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
)

func TestMain(m *testing.M) { mongotest.Main(m) }
