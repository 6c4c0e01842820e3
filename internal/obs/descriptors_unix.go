//go:build unix

package obs

import "golang.org/x/sys/unix"

// DescriptorLimit is how many file descriptors this process may open.
func DescriptorLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	return uint64(r.Cur), nil
}
