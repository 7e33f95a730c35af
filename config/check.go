package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// oneOf accepts the words given.
func oneOf(words ...string) check {
	return func(s string) (string, string) {
		for _, w := range words {
			if s == w {
				return "", ""
			}
		}
		message := fmt.Sprintf("must be %s, not %q", alternatives(words), s)
		if w := nearest(s, words); w != "" {
			return message, fmt.Sprintf("did you mean %q?", w)
		}
		return message, ""
	}
}

func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

var appIDForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// appID accepts what can be a folder's name on devices and part of a database's.
func appID(s string) (string, string) {
	if !appIDForm.MatchString(s) {
		return fmt.Sprintf("must consist of letters, digits, - and _, not %q", s), "it is the client app id in the app's code, such as tasks-abcde"
	}
	return "", ""
}

// hostPort accepts host:port, the host may be empty.
func hostPort(s string) (string, string) {
	const hint = "write host:port, such as 127.0.0.1:9090, or :9090 for all addresses"
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Sprintf("%q is not an address with a port", s), hint
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Sprintf("%q is not a port number", port), hint
	}
	return "", ""
}

// publicURL accepts http(s)://host[:port]: devices do not find the server below
// a path.
func publicURL(s string) (string, string) {
	const hint = "write it like https://sync.example.com"
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Sprintf("%q is not a URL of http or https", s), hint
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "must have nothing but a host and a port", "Realm clients only find a server at the root of a host: " + hint
	}
	return "", ""
}

// origin accepts what browsers send as Origin, or * for all.
func origin(s string) (string, string) {
	if s == "*" {
		return "", ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Sprintf("%q is not an origin", s), "write scheme and host, such as https://app.example.com, or \"*\" for any"
	}
	return "", ""
}

// mongoURI accepts connection strings. The message never repeats the string: it
// may hold a password.
func mongoURI(s string) (string, string) {
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case !found || scheme != "mongodb" && scheme != "mongodb+srv":
		return "must begin with mongodb:// or mongodb+srv://", exampleMongoURI
	case rest == "":
		return "names no host", exampleMongoURI
	case scheme == "mongodb+srv":
		return "", "" // the rest is known only when its DNS records are read
	}
	if _, err := connstring.ParseAndValidate(s); err != nil {
		why := err.Error()
		for _, secret := range strings.FieldsFunc(rest[:strings.LastIndex(rest, "@")+1], func(r rune) bool { return strings.ContainsRune(":@/", r) }) {
			if strings.Contains(why, secret) {
				why = "user name or password cannot be read"
			}
		}
		return "is not a connection string: " + why, "characters such as @ : / % in the user name or password must be percent-encoded"
	}
	return "", ""
}

// databaseName accepts the names MongoDB takes, but for its own databases.
func databaseName(s string) (string, string) {
	switch {
	case s == "":
		return "must not be empty", ""
	case s == "admin" || s == "local" || s == "config":
		return fmt.Sprintf("%q is a database of MongoDB itself", s), "choose another one"
	case strings.ContainsAny(s, "/\\. \"$*<>:|?\x00"):
		return fmt.Sprintf("%q is not a database name", s), `it must not contain a space or any of / \ . " $ * < > : | ?`
	case len(s) > maxDatabaseName:
		return fmt.Sprintf("is %d bytes long, MongoDB allows %d", len(s), maxDatabaseName), ""
	}
	return "", ""
}

// fieldName accepts a top-level property.
func fieldName(s string) (string, string) {
	if s == "" || strings.HasPrefix(s, "$") || strings.ContainsAny(s, ".\x00") {
		return fmt.Sprintf("%q is not the name of a property", s), "write a top-level property such as owner_id, without $ and dots"
	}
	return "", ""
}

func filePattern(s string) (string, string) {
	if _, err := filepath.Match(s, ""); s == "" || err != nil {
		return fmt.Sprintf("%q is not a file pattern", s), "write a path such as schema/*.json"
	}
	return "", ""
}

func tokenKeyID(s string) (string, string) {
	if !appIDForm.MatchString(s) {
		return fmt.Sprintf("has a key whose id is %q", s), "an id consists of letters, digits, - and _"
	}
	return "", ""
}

func tokenSecret(s string) (string, string) {
	if len(s) < minTokenSecret {
		return fmt.Sprintf("has a secret of %d characters, %d are needed", len(s), minTokenSecret), "make one with: openssl rand -base64 48"
	}
	return "", ""
}

// nearest is the word that a misspelt one most likely stands for, or empty.
func nearest(s string, words []string) string {
	best, bound := "", min(3, (len(s)+2)/3+1)
	for _, w := range words {
		if d := editDistance(strings.ToLower(s), strings.ToLower(w)); d < bound {
			best, bound = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes, and
// swaps of neighbours, that make b of a.
func editDistance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now := make([]int, len(b)+1)
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last = last, now
	}
	return last[len(b)]
}
