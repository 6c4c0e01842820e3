//go:build !race

package keyindex

const raceEnabled = false
