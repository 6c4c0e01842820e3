package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
	"sigs.k8s.io/yaml"
)

// object is one level of the configuration file.
type object map[string]json.RawMessage

// get finds a key, preferring the exact spelling over another case.
func (o object) get(key string) (json.RawMessage, bool) {
	if raw, ok := o[key]; ok {
		return raw, true
	}
	for k, raw := range o {
		if strings.EqualFold(k, key) {
			return raw, true
		}
	}
	return nil, false
}

// readFile starts over from the defaults: with a file every other flag and
// variable is ignored, except the two peer timeouts, which etcd keeps outside
// its configuration.
func (p *parser) readFile(path string) Outcome {
	read, write := p.c.Cluster.PeerReadTimeout, p.c.Cluster.PeerWriteTimeout
	p.c = Default()
	p.c.Cluster.PeerReadTimeout, p.c.Cluster.PeerWriteTimeout = read, write
	p.fromFile = true

	b, err := p.in.ReadFile(path)
	if err != nil {
		return Outcome{Err: err}
	}
	b, err = yaml.YAMLToJSON(b)
	if err != nil {
		return Outcome{Err: fmt.Errorf("error converting YAML to JSON: %w", err)}
	}
	var top object
	if err := json.Unmarshal(b, &top); err != nil {
		return Outcome{Err: fileError("", err)}
	}
	p.note(zap.InfoLevel,
		"loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
		zap.String("path", path))
	if out := p.takeFile(top); out.Done || out.Err != nil {
		return out
	}
	p.fileDefaults()
	return Outcome{}
}

// takeFile hands each key of the table its value. Values of a wrong type are
// reported before URLs that cannot be used, as etcd does.
func (p *parser) takeFile(top object) Outcome {
	var badURL Outcome
	for _, s := range p.table {
		key := s.fileKey()
		if key == "" {
			continue
		}
		raw, ok, err := lookup(top, key)
		if err != nil {
			return Outcome{Err: err}
		}
		if !ok {
			continue
		}
		p.given[s.flagKey()] = true
		err = s.file(raw)
		var bad *badURLError
		switch {
		case errors.As(err, &bad) && badURL.Done:
		case errors.As(err, &bad) && key == "cors":
			badURL = Outcome{Done: true, Code: 2, Stderr: fmt.Sprintf("panic: new UniqueURLs should never fail: %v\n", bad)}
		case errors.As(err, &bad):
			badURL = Outcome{Done: true, Code: 1, Stderr: fmt.Sprintf("unexpected error setting up %s: %v\n", key, bad)}
		case err != nil:
			return Outcome{Err: fileError(key, err)}
		}
	}
	return badURL
}

// lookup follows a dotted path; null counts as absent.
func lookup(top object, path string) (json.RawMessage, bool, error) {
	o := top
	for {
		head, rest, nested := strings.Cut(path, ".")
		raw, ok := o.get(head)
		if !ok || string(raw) == "null" {
			return nil, false, nil
		}
		if !nested {
			return raw, true, nil
		}
		var next object
		if err := json.Unmarshal(raw, &next); err != nil {
			return nil, false, fileError(head, err)
		}
		o, path = next, rest
	}
}

// fileError words a value of the wrong type as etcd's decoder does.
func fileError(key string, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		field := "Go value"
		if key != "" {
			field = "Go struct field configYAML." + key
		}
		return fmt.Errorf("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into %s of type %s",
			wrong.Value, field, wrong.Type)
	}
	if key == "" {
		return fmt.Errorf("error unmarshaling JSON: while decoding JSON: %w", err)
	}
	return err
}

// fileDefaults fills in what the file may leave empty but a flag may not.
func (p *parser) fileDefaults() {
	if p.c.Cluster.State == "" {
		p.c.Cluster.State = StateNew
	}
	if p.c.TLS.SelfSignedYears == 0 {
		p.c.TLS.SelfSignedYears = 1
	}
	if len(p.c.Log.Outputs) == 0 {
		p.c.Log.Outputs = []string{"default"}
	}
}
