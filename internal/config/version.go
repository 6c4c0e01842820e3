package config

import "fmt"

// Version is the version of etcd this server is level with. Clients and tools
// read it from --version, /version and Status, and behave by it.
const Version = "3.7.1"

// Build says which binary this is. The process fills it in from the linker
// and the runtime.
type Build struct {
	GitSHA    string
	GoVersion string
	OS, Arch  string
}

// VersionText is what --version prints.
func (b Build) VersionText() string {
	return fmt.Sprintf("etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n",
		Version, b.GitSHA, b.GoVersion, b.OS, b.Arch)
}

// CheckArch refuses processors nobody tests on, unless the operator insists
// through ETCD_UNSUPPORTED_ARCH. The line is printed to stdout either way; ok
// tells whether the process may go on.
func CheckArch(arch string, environ []string) (line string, ok bool) {
	switch arch {
	case "amd64", "arm64", "ppc64le", "s390x":
		return "", true
	}
	if getenv(environ, "ETCD_UNSUPPORTED_ARCH") == arch {
		return fmt.Sprintf("running etcd on unsupported architecture %q since ETCD_UNSUPPORTED_ARCH is set\n", arch), true
	}
	return fmt.Sprintf("etcd on unsupported platform without ETCD_UNSUPPORTED_ARCH=%s set\n", arch), false
}

// SubCommand reports whether the first argument selects a program other than
// the server, and what to say about it.
func SubCommand(args []string) (line string, ok bool) {
	if len(args) == 0 || args[0] != "gateway" && args[0] != "grpc-proxy" {
		return "", false
	}
	return fmt.Sprintf("etcd %s is not supported yet: it comes with a later version\n", args[0]), true
}
