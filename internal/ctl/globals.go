package ctl

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// globals are the flags that every command inherits.
type globals struct {
	endpoints         []string
	writeOut          string
	hex               bool
	debug             bool
	dialTimeout       time.Duration
	commandTimeout    time.Duration
	keepAliveTime     time.Duration
	keepAliveTimeout  time.Duration
	maxRequestBytes   int
	maxRecvBytes      int
	insecureTransport bool
	insecureSkip      bool
	cert, key, caCert string
	user, password    string
	token             string
	discoverySRV      string
	discoverySRVName  string
	insecureDiscovery bool
}

func (g *globals) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&g.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "servers to talk to")
	fs.StringVarP(&g.writeOut, "write-out", "w", "simple", "output format (fields, json, protobuf, simple, table)")
	fs.BoolVar(&g.hex, "hex", false, "print byte strings and ids in hexadecimal")
	fs.BoolVar(&g.debug, "debug", false, "show the settings and the RPC log on stderr")
	fs.DurationVar(&g.dialTimeout, "dial-timeout", 2*time.Second, "limit for the login when a client is made")
	fs.DurationVar(&g.commandTimeout, "command-timeout", 5*time.Second, "limit for short commands")
	fs.DurationVar(&g.keepAliveTime, "keepalive-time", 2*time.Second, "interval of keepalive pings")
	fs.DurationVar(&g.keepAliveTimeout, "keepalive-timeout", 6*time.Second, "limit for the answer to a keepalive ping")
	fs.IntVar(&g.maxRequestBytes, "max-request-bytes", 0, "largest request sent, in bytes (0 means 2 MiB)")
	fs.IntVar(&g.maxRecvBytes, "max-recv-bytes", 0, "largest answer accepted, in bytes (0 means 2 GiB)")
	fs.BoolVar(&g.insecureTransport, "insecure-transport", true, "do without TLS where nothing else asks for it")
	fs.BoolVar(&g.insecureSkip, "insecure-skip-tls-verify", false, "accept any server certificate (for tests only)")
	fs.StringVar(&g.cert, "cert", "", "client certificate file")
	fs.StringVar(&g.key, "key", "", "client key file")
	fs.StringVar(&g.caCert, "cacert", "", "CA bundle that server certificates are checked with")
	fs.StringVar(&g.user, "user", "", "name[:password] to log in with (asks for a missing password)")
	fs.StringVar(&g.password, "password", "", "password to log in with; --user is then the bare name")
	fs.StringVar(&g.token, "auth-jwt-token", "", "ready-made token, used instead of name and password")
	fs.StringVarP(&g.discoverySRV, "discovery-srv", "d", "", "domain whose SRV records name the servers")
	fs.StringVar(&g.discoverySRVName, "discovery-srv-name", "", "suffix of the SRV service name")
	fs.BoolVar(&g.insecureDiscovery, "insecure-discovery", true, "accept SRV records of servers without TLS")
}

// registerCompletions names the values the shell may offer.
func registerCompletions(root *cobra.Command) {
	must(root.RegisterFlagCompletionFunc("write-out", fixedValues("fields", "json", "protobuf", "simple", "table")))
}

func fixedValues(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// must is for calls that fail only when this package is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
