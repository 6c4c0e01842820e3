package member

import (
	"crypto/sha1"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"keelson/internal/base"
)

// NewID computes a member ID: the first eight bytes of the SHA-1 of the sorted
// peer URLs and the cluster token. MemberAdd passes no token but the time of
// the request, so that a member that comes back is another one.
func NewID(peerURLs []string, token string, now *time.Time) base.MemberID {
	urls := slices.Clone(peerURLs)
	slices.Sort(urls)
	text := strings.Join(urls, "") + token
	if now != nil {
		text += strconv.FormatInt(now.Unix(), 10)
	}
	sum := sha1.Sum([]byte(text))
	return base.MemberID(binary.BigEndian.Uint64(sum[:8]))
}

// NewClusterID computes the ID of a cluster from those of its first members.
func NewClusterID(members []base.MemberID) base.ClusterID {
	ids := slices.Clone(members)
	slices.Sort(ids)
	var b []byte
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	sum := sha1.Sum(b)
	return base.ClusterID(binary.BigEndian.Uint64(sum[:8]))
}
