package appservices

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// provider is a way to log in. Each has a file of its own and is added in Open.
type provider interface {
	// name is the provider's type, as in paths, identities and the client.
	name() string

	// identify checks credentials and returns whom they name. Who is refused
	// gets an *answerError.
	identify(ctx context.Context, c credentials) (Identity, error)

	// lifetime is how long a log-in lasts, where usual is what the configuration
	// says of log-ins in general.
	lifetime(usual time.Duration) lifetime
}

// lifetime is how long a session lasts: from its beginning, or, if renewed, from
// its last use.
type lifetime struct {
	ttl     time.Duration
	renewed bool
}

// credentials are the body of a log-in request, without what every request has.
type credentials map[string]json.RawMessage

// readLogIn reads the body of a log-in request. It may be empty, and nothing of
// the device has to be told.
func readLogIn(r *http.Request) (credentials, Device, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, Device{}, &answerError{http.StatusRequestEntityTooLarge, "ReadSizeLimitExceeded", "request body too large"}
		}
		return nil, Device{}, errBadRequest("cannot read request body")
	}
	c := credentials{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, Device{}, errBadRequest("request body is not a JSON object")
		}
	}
	var d Device
	if text, ok := c["options"]; ok {
		d = readDevice(text)
		delete(c, "options")
	}
	return c, d, nil
}

// readDevice takes what it understands of what a device tells of itself.
func readDevice(options json.RawMessage) Device {
	var told struct {
		Device map[string]json.RawMessage `json:"device"`
	}
	if json.Unmarshal(options, &told) != nil {
		return Device{}
	}
	for name, value := range told.Device {
		var s string
		if json.Unmarshal(value, &s) != nil || len(s) > 256 {
			delete(told.Device, name)
		}
	}
	var d Device
	text, err := json.Marshal(told.Device)
	if err != nil || json.Unmarshal(text, &d) != nil {
		return Device{}
	}
	return d
}

// newID makes the id of a user, session, device or identity: 24 hexadecimal
// digits, as the hosted service's.
func newID() string { return bson.NewObjectID().Hex() }
